"""Compute a lane's metrics from its rounds. A speedup is computed here and nowhere else.

| metric | meaning | unit |
|---|---|---|
| tokens_per_s | tokens / the lane's clock | tokens/s |
| ms_per_token | the lane's clock / tokens | ms |
| speedup | autoregressive ms per token / this lane's, same race; none for a lane that failed | × |
| acceptance_rate | accepted / drafted, α | share |
| draft_length | drafted / rounds, k̄ | tokens |
| block_efficiency | tokens / target forwards, τ | tokens |
| mean_beta | mean of β = Σ min(p, q) over the drafted tokens that the target reached | share |
| cost_ratio | time of one draft step / time of one target step of the autoregressive lane, c | ratio |
| draft_share | time in the drafter's forwards for accepted tokens / the lane's clock | share |
| wasted_share | time in the drafter's forwards for other tokens / the lane's clock | share |
| verify_share | time in the target's forwards / the lane's clock | share |
| overhead_share | time outside both models' forwards / the lane's clock; the four add up to 1 | share |
| same_text | the lane and the autoregressive lane wrote the same text, up to the shorter one's end | yes/no |
| timing_reliable | no sign that the machine was busy with other work (`adaedl.timing`) | yes/no |
| timing_note | why the timing is unreliable, see `TIMING_NOTES` | |

No lane's clock includes the prefill, which is done once per race and is the same for all lanes.
"""

from dataclasses import asdict, dataclass, field, fields, replace

import pandas as pd

from adaedl.timing import RoundTimes, judge_timing
from adaedl.trace import Lane, LaneMetrics, Round, Trace

BASELINE = "autoregressive"
UNRELIABLE = "timing unreliable: the machine was busy"
TIMING_NOTES = {
    "one_token": "timing unreliable: only one token was timed",
    "irregular": f"{UNRELIABLE}; its rounds took irregular times",
    "beyond_block_efficiency": f"{UNRELIABLE}; it is faster than its tokens per target pass allow",
    "baseline": f"{UNRELIABLE}; the autoregressive lane's rounds took irregular times",
}


@dataclass
class LaneTotals:
    """Running sums over the rounds of a lane, from which its metrics are computed. Adding a round takes time
    proportional to its own tokens, so a race need not read the whole lane again after each round.

    Attributes:
        steps: draft steps, including those of tokens dropped before verification.
        useful_s: the part of `draft_s` that was spent on accepted tokens.
        reached: number of drafted tokens that the target reached and that have a β; `beta` is the sum of
            their β.
    """

    rounds: int = 0
    tokens: int = 0
    clock_s: float = 0.0
    drafted: int = 0
    steps: int = 0
    accepted: int = 0
    draft_s: float = 0.0
    verify_s: float = 0.0
    useful_s: float = 0.0
    reached: int = 0
    beta: float = 0.0
    times: RoundTimes = field(default_factory=RoundTimes)

    def add(self, round_: Round) -> None:
        steps = len(round_.drafted) + round_.dropped
        self.rounds += 1
        self.times.add(steps, round_.duration_s)
        self.tokens += len(round_.token_ids)
        self.clock_s = round_.end_s
        self.drafted += len(round_.drafted)
        self.steps += steps
        self.accepted += round_.accepted
        self.draft_s += round_.draft_s
        self.verify_s += round_.verify_s
        self.useful_s += round_.draft_s * round_.accepted / steps if steps else 0.0
        # Drafts after a rejected draft are conditioned on a text that was never written.
        for token in round_.drafted[: round_.accepted + 1]:
            if token.beta is not None:
                self.reached += 1
                self.beta += token.beta


def compute_metrics(trace: Trace) -> None:
    """Set the metrics of every lane of a trace, finished or still running."""
    running = RunningMetrics(trace)
    for number, lane in enumerate(trace.lanes):
        for round_ in lane.rounds:
            running.add(number, round_)
    running.update()


class RunningMetrics:
    """The metrics of a running race. An update takes time proportional to the new tokens."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.totals = [LaneTotals() for _ in trace.lanes]
        lanes = range(len(trace.lanes))
        self.baseline = next((n for n in lanes if trace.lanes[n].stopper == BASELINE), None)
        # Whether the verification rule makes all lanes write the same text.
        self.comparable = trace.verification == "shared_noise" or trace.sampling.greedy
        self.compared = [0 for _ in lanes]  # leading tokens of each lane that are compared already
        self.same_text = [True for _ in lanes]

    def add(self, number: int, round_: Round) -> None:
        """Add a round of lane `number`, which is in the trace already."""
        self.totals[number].add(round_)

    def update(self) -> None:
        """Set the metrics of every lane from the rounds added so far."""
        baseline = None if self.baseline is None else self.totals[self.baseline]
        for number, (lane, totals) in enumerate(zip(self.trace.lanes, self.totals, strict=True)):
            metrics = lane_metrics(totals, baseline, self._is_same_text(number))
            lane.metrics = _of_failed(metrics) if lane.failure else metrics

    def _is_same_text(self, number: int) -> bool | None:
        if self.baseline is None or not self.comparable:
            return None
        ours, theirs = (self.trace.lanes[n].token_ids for n in (number, self.baseline))
        if not ours or not theirs:
            return None
        new = slice(self.compared[number], min(len(ours), len(theirs)))
        self.same_text[number] &= ours[new] == theirs[new]
        self.compared[number] = new.stop
        return self.same_text[number]


def lane_metrics(lane: LaneTotals, baseline: LaneTotals | None, same_text: bool | None) -> LaneMetrics:
    """Return a lane's metrics; a metric that is not defined (yet) is None. `baseline` holds the totals of the
    autoregressive lane of the same race."""
    speedup = _ratio(_per_token(baseline), _per_token(lane))
    block_efficiency = _ratio(lane.tokens, lane.rounds)
    reliable, note = judge_timing(
        lane.times, baseline.times if baseline else None, lane.tokens, speedup, block_efficiency
    )
    return LaneMetrics(
        tokens=lane.tokens,
        tokens_per_s=_ratio(lane.tokens, lane.clock_s),
        ms_per_token=_ratio(1000 * lane.clock_s, lane.tokens),
        speedup=speedup,
        acceptance_rate=_ratio(lane.accepted, lane.drafted),
        draft_length=_ratio(lane.drafted, lane.rounds),
        block_efficiency=block_efficiency,
        mean_beta=_ratio(lane.beta, lane.reached),
        cost_ratio=_ratio(_ratio(lane.draft_s, lane.steps), _target_step(baseline)),
        draft_share=_ratio(lane.useful_s, lane.clock_s),
        verify_share=_ratio(lane.verify_s, lane.clock_s),
        wasted_share=_ratio(lane.draft_s - lane.useful_s, lane.clock_s),
        overhead_share=_ratio(max(0.0, lane.clock_s - lane.draft_s - lane.verify_s), lane.clock_s),
        same_text=same_text,
        timing_reliable=reliable,
        timing_note=note,
    )


def _of_failed(metrics: LaneMetrics) -> LaneMetrics:
    """Return the metrics of a lane whose stopper failed. It has no speedup, since it wrote less than the
    other lanes."""
    return replace(metrics, speedup=None, timing_reliable=None, timing_note=None)


def percent_of_oracle(lane: Lane, oracle: Lane) -> float | None:
    """Return a lane's tokens per second as a percentage of the oracle's, on the same text and with the same
    costs; None for a lane whose stopper failed. The oracle drafts exactly the tokens that will be accepted,
    so it needs a recording (`adaedl.recordings.replay`)."""
    if lane.failure:
        return None
    speeds = [len(each.token_ids) / each.clock_s for each in (lane, oracle)]
    return 100 * speeds[0] / speeds[1]


def to_frame(trace: Trace) -> pd.DataFrame:
    """Return one row per lane: its label and its metrics."""
    names = [f.name for f in fields(LaneMetrics)]
    rows = [{"lane": lane.label, **(asdict(lane.metrics) if lane.metrics else {})} for lane in trace.lanes]
    return pd.DataFrame(rows, columns=["lane", *names])


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _per_token(lane: LaneTotals | None) -> float | None:
    return _ratio(lane.clock_s, lane.tokens) if lane else None


def _target_step(baseline: LaneTotals | None) -> float | None:
    return _ratio(baseline.verify_s, baseline.rounds) if baseline else None
