"""Traces to numbers: the only place where a speedup is computed.

| metric | what it is | unit |
|---|---|---|
| tokens_per_s | tokens / the lane's clock | tokens/s |
| ms_per_token | the lane's clock / tokens | ms |
| speedup | autoregressive ms per token / this lane's, same race | × |
| acceptance_rate | accepted / drafted, α | share |
| draft_length | drafted / rounds, k̄ | tokens |
| block_efficiency | tokens / target forwards, τ | tokens |
| mean_beta | mean of β = Σ min(p, q) over the drafted tokens that the target reached | share |
| cost_ratio | time of one draft step / time of one target step of the autoregressive lane, c | ratio |
| draft_share | time in the drafter's forwards, for tokens that were accepted / the lane's clock | share |
| wasted_share | the same for tokens that were not accepted | share |
| verify_share | time in the target's forwards / the lane's clock | share |
| overhead_share | time outside both models' forwards / the lane's clock; the four add up to 1 | share |
| same_text | the lane wrote what the autoregressive lane wrote (as far as both got) | yes/no |

Prefill is in no lane's clock: it is done once a race and is the same for all.
"""

from dataclasses import asdict, fields

import pandas as pd

from adaedl.trace import Lane, LaneMetrics, Trace

BASELINE = "autoregressive"


def compute_metrics(trace: Trace) -> None:
    """Set the metrics of every lane of a trace, finished or still growing."""
    baseline = next((lane for lane in trace.lanes if lane.stopper == BASELINE), None)
    comparable = trace.verification == "shared_noise" or trace.sampling.temperature == 0
    for lane in trace.lanes:
        lane.metrics = lane_metrics(lane, baseline, comparable)


def lane_metrics(lane: Lane, baseline: Lane | None, comparable: bool) -> LaneMetrics:
    """One lane's numbers; None where they are not defined (yet). `baseline` is the autoregressive lane
    of the same race. `comparable` says whether the rule makes all lanes write the same text."""
    rounds = lane.rounds
    tokens = len(lane.token_ids)
    clock = lane.clock_s
    drafted = sum(len(r.drafted) for r in rounds)
    accepted = sum(r.accepted for r in rounds)
    draft_s = sum(r.draft_s for r in rounds)
    verify_s = sum(r.verify_s for r in rounds)
    useful_s = sum(r.draft_s * r.accepted / len(r.drafted) for r in rounds if r.drafted)
    # What follows a rejection in its round was conditioned on a text that was never written.
    reached = [token.beta for r in rounds for token in r.drafted[: r.accepted + 1] if token.beta is not None]

    return LaneMetrics(
        tokens=tokens,
        tokens_per_s=_ratio(tokens, clock),
        ms_per_token=_ratio(1000 * clock, tokens),
        speedup=_ratio(_per_token(baseline), _per_token(lane)),
        acceptance_rate=_ratio(accepted, drafted),
        draft_length=_ratio(drafted, len(rounds)),
        block_efficiency=_ratio(tokens, len(rounds)),
        mean_beta=_ratio(sum(reached), len(reached)),
        cost_ratio=_ratio(_ratio(draft_s, drafted), _target_step(baseline)),
        draft_share=_ratio(useful_s, clock),
        verify_share=_ratio(verify_s, clock),
        wasted_share=_ratio(draft_s - useful_s, clock),
        overhead_share=_ratio(max(0.0, clock - draft_s - verify_s), clock),
        same_text=_same_text(lane, baseline) if comparable else None,
    )


def to_frame(trace: Trace) -> pd.DataFrame:
    """One row a lane: its label and its metrics."""
    names = [f.name for f in fields(LaneMetrics)]
    rows = [{"lane": lane.label, **(asdict(lane.metrics) if lane.metrics else {})} for lane in trace.lanes]
    return pd.DataFrame(rows, columns=["lane", *names])


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _per_token(lane: Lane | None) -> float | None:
    return _ratio(lane.clock_s, len(lane.token_ids)) if lane and lane.token_ids else None


def _target_step(baseline: Lane | None) -> float | None:
    return _ratio(sum(r.verify_s for r in baseline.rounds), len(baseline.rounds)) if baseline else None


def _same_text(lane: Lane, baseline: Lane | None) -> bool | None:
    if baseline is None:
        return None
    both = min(len(lane.token_ids), len(baseline.token_ids))
    return lane.token_ids[:both] == baseline.token_ids[:both]
