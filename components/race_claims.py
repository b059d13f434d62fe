"""Check the claims in the captions of recorded races against their traces.

Each race of races.json has a caption in every language (`line`), the sentence that a student should take
away. Numbers in it are placeholders such as `{speedup of adaedl}`, filled in from the trace. Comparisons in
it are repeated as claims:

    {"metric": "speedup", "of": "adaedl", "above": "fixed:k=8", "by": 1.2}   at least 1.2 times another lane's
    {"metric": "mean_beta", "of": "fixed:k=4", "above": 0.85}                above a number
    {"text_of": "autoregressive", "matches": "^1, 2, 3"}                     a regular expression matches
    {"text_of": "adaedl", "differs_from": "fixed:k=4"}                       two lanes' texts differ

`below` is the opposite of `above`. A lane is named by its spec, or as `adaedl at 0.7` if races at several
temperatures are shown together. Without `by`, the two values must differ by at least the factor MARGIN, so
that a remake on another machine still satisfies the claim.
"""

import re
from collections.abc import Iterable
from dataclasses import fields

from adaedl.metrics import compute_metrics
from adaedl.trace import Lane, LaneMetrics, Trace

MARGIN = 1.05
NUMBER = re.compile(r"\{(\w+) of ([^}]+)\}")
SHARES = {"acceptance_rate", "cost_ratio", "wasted_share"}
HUNDREDTHS = {"speedup", "mean_beta", "mean_bound"}
LENGTHS = {"draft_length", "block_efficiency"}
# Metrics that must not be False for any lane, and the message about a lane where one is.
EXPECTED = {"timing_reliable": "the timing of {} is unreliable", "same_text": "{} wrote another text"}

Lanes = dict[str, Lane]


def lanes_of(trace: Trace) -> Lanes:
    """Compute the metrics of a race; return its lanes by spec."""
    compute_metrics(trace)
    return {lane.label: lane for lane in trace.lanes}


def lanes_at(traces: Iterable[Trace]) -> Lanes:
    """Return the lanes of several races by spec and temperature, such as `adaedl at 0.7`."""
    named = ((trace.sampling.temperature, lanes_of(trace)) for trace in traces)
    return {f"{spec} at {at:g}": lane for at, lanes in named for spec, lane in lanes.items()}


def value_of(lane: Lane, metric: str) -> float:
    """Return a metric of a lane: one of LaneMetrics, `rounds`, `drafted`, `wasted` or `mean_bound`.

    `rounds` counts the target's passes and `wasted` the drafted tokens that were rejected or never reached.
    `mean_bound` averages the bound over the same drafted tokens as `mean_beta` averages β: those that the
    target reached.

    Raises:
        ValueError: the metric does not exist, or is undefined for this lane.
    """
    drafted = sum(len(round_.drafted) for round_ in lane.rounds)
    accepted = sum(round_.accepted for round_ in lane.rounds)
    bounds = [
        token.bound
        for round_ in lane.rounds
        for token in round_.drafted[: round_.accepted + 1]
        if token.beta is not None
    ]
    counts = {
        "rounds": len(lane.rounds),
        "drafted": drafted,
        "wasted": drafted - accepted,
        "mean_bound": sum(bounds) / len(bounds) if bounds else None,
    }
    metrics = {each.name: getattr(lane.metrics, each.name) for each in fields(LaneMetrics)}
    value = (metrics | counts).get(metric)
    if value is None:
        raise ValueError(f"the lane {lane.label} has no {metric}")
    return value


def fill_in(words: str, lanes: Lanes) -> str:
    """Return a caption with its numbers filled in."""
    return NUMBER.sub(lambda match: format_metric(match[1], value_of(lanes[match[2]], match[1])), words)


def format_metric(metric: str, value: float) -> str:
    """Format a number for a caption: shares in percent, lengths with one decimal, speedups, β and the bound
    with two."""
    if metric in SHARES:
        return f"{100 * value:.0f}%"
    if metric in LENGTHS:
        return f"{value:.1f}"
    return (f"{value:.2f}" if metric in HUNDREDTHS else f"{value:g}").replace("-", "−")


def failures(claims: list[dict], lanes: Lanes) -> list[str]:
    """Return a line for each of these claims, and of those made for every race (EXPECTED), that is false."""
    unexpected = [
        words.format(name)
        for name, lane in lanes.items()
        for metric, words in EXPECTED.items()
        if getattr(lane.metrics, metric) is False
    ]
    return unexpected + [f"{claim}: {other}" for claim in claims if (other := _contradiction(claim, lanes))]


def _contradiction(claim: dict, lanes: Lanes) -> str:
    """Return what the trace has instead of what is claimed; "" if the claim is true."""
    if "text_of" in claim:
        text = lanes[claim["text_of"]].text
        differs = "matches" in claim or text != lanes[claim["differs_from"]].text
        return "" if differs and re.search(claim.get("matches", ""), text) else repr(text)
    value = value_of(lanes[claim["of"]], claim["metric"])
    side = "above" if "above" in claim else "below"
    other = claim[side]
    if isinstance(other, str):
        other = value_of(lanes[other], claim["metric"])
    more, less = (value, other) if side == "above" else (other, value)
    return "" if more >= claim.get("by", MARGIN) * less else f"{value:.4g} and {other:.4g}"
