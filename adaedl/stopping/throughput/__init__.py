"""The stopper that weighs the gain of a draft against its cost; docs/throughput.md derives the rule."""

from adaedl.stopping.throughput.beliefs import CURVES, Beliefs, accepted
from adaedl.stopping.throughput.costs import Costs, ExpectedCosts, MeasuredCosts
from adaedl.stopping.throughput.rule import Throughput
from adaedl.stopping.throughput.running_line import RunningLine

__all__ = [
    "CURVES",
    "Beliefs",
    "Costs",
    "ExpectedCosts",
    "MeasuredCosts",
    "RunningLine",
    "Throughput",
    "accepted",
]
