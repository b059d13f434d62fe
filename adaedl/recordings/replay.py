"""Replay any stopper on a recorded text in milliseconds: the rounds of `decode()` without a model.

Under shared noise and at temperature 0, rounds, drafts, accepted counts and stop reasons are the same as in a
real run; under speculative sampling they have the same distribution (`adaedl.recordings.recording` explains
why, and what a recording cannot know). Time is modelled: each round takes as long as rounds of its length
took while recording, and `model_error` compares that with a real run. Stoppers that look at times (`profile`,
`throughput`) see the modelled times.
"""

from dataclasses import dataclass

from adaedl.draft_phase import DraftInHand, DraftPhase, draft_until_stop
from adaedl.errors import UserError
from adaedl.metrics import compute_metrics
from adaedl.metrics import percent_of_oracle as percent
from adaedl.recordings.recording import Chain, Recording
from adaedl.request import fresh_stopper
from adaedl.stopping import (
    DraftStep,
    Oracle,
    Stopper,
    StopperFault,
    acceptance_lower_bound,
    checked,
    format_spec,
    make_stopper,
)
from adaedl.times import Times
from adaedl.trace import DraftedToken, Emitted, Lane, Round, Trace, emitted_kind

SCORE_TIE = 1e-3  # closer to its threshold, rounding may put a score on either side


def replay(recording: Recording, stopper: Stopper | str, times: Times | None = None) -> Lane:
    """Replay a stopper on the recorded text and return its lane, without metrics.

    Args:
        stopper: a fresh stopper or its spec; `oracle` works too.
        times: the times of rounds; None for the recorded times.

    Raises:
        UserError: the recording lacks what the stopper needs: it drafts deeper, or scores q at another
            temperature.
        StopperFault: an external stopper fails.
    """
    stopper = checked(make_stopper(stopper) if isinstance(stopper, str) else stopper)
    check_replay(stopper, recording.depth, recording.score_temperature)
    times = times or recording.times
    stopper.expect(times)
    stopper.expect_acceptance(recording.expected_acceptance)
    lane = Lane(stopper.name, stopper.settings, format_spec(stopper))
    written, clock_s, ended = 0, 0.0, False
    while written < recording.max_new_tokens and not ended:
        phase = _draft(recording, stopper, written)
        round_ = _verify(recording, stopper, phase, written)
        round_.start_s = clock_s
        round_.draft_s = times.draft_s(phase.steps)
        round_.verify_s = times.verify_s[len(round_.drafted)]
        round_.duration_s = round_.draft_s + round_.verify_s + times.overhead_s(phase.steps)
        stopper.observe(len(round_.drafted), round_.accepted, round_.dropped)
        stopper.observe_times(len(round_.token_ids), round_.verify_s, round_.duration_s)
        lane.rounds.append(round_)
        clock_s += round_.duration_s
        written += len(round_.token_ids)
        ended = recording.token_ids[written - 1] in recording.eos_ids
    lane.token_ids = list(recording.token_ids)
    lane.text, lane.pieces = recording.text, list(recording.pieces)
    return lane


def replay_trace(recording: Recording, specs: list[str], times: Times | None = None) -> Trace:
    """Replay several stoppers on the recorded text and return the trace of a race, with metrics and modelled
    clocks. A stopper that fails gets an empty lane, whose `failure` says why.

    Raises:
        UserError: a spec is invalid, or the recording cannot replay it.
    """
    trace = Trace(
        created=recording.created,
        versions=recording.versions,
        device=recording.device,
        dtype=recording.dtype,
        pair=recording.pair,
        prompt=recording.prompt,
        prompt_tokens=recording.prompt_tokens,
        max_new_tokens=recording.max_new_tokens,
        seed=recording.seed,
        sampling=recording.sampling,
        verification=recording.verification,
        noise_version=recording.noise_version,
        expected_times=times or recording.times,
        expected_acceptance=recording.expected_acceptance,
        lanes=[_replay_or_failure(recording, spec, times) for spec in specs],
        token_bytes=recording.token_bytes,
        system=recording.system,
        continuation=recording.continuation,
    )
    compute_metrics(trace)
    return trace


def _replay_or_failure(recording: Recording, spec: str, times: Times | None) -> Lane:
    try:
        return replay(recording, spec, times)
    except StopperFault as fault:
        stopper = make_stopper(spec)
        return Lane(stopper.name, stopper.settings, format_spec(stopper), failure=str(fault))


def check_replay(stopper: Stopper, depth: int, score_temperature: float | None) -> None:
    """Raise UserError if a recording of this depth and score temperature lacks what a stopper needs."""
    if stopper.max_draft > depth:
        raise UserError(
            "{} drafts up to {} tokens, but this recording has {} at each position; set a smaller maximum or"
            " record with a greater depth.",
            format_spec(stopper),
            stopper.max_draft,
            depth,
        )
    if stopper.judges_q and stopper.score_temperature != score_temperature:
        wanted, recorded = (
            "the default temperature" if value is None else f"temperature {value:g}"
            for value in (stopper.score_temperature, score_temperature)
        )
        raise UserError(
            "{} scores q at {}, but this recording has scores at {}; use the same score_temperature for "
            "both.",
            format_spec(stopper),
            wanted,
            recorded,
        )


def model_error(recording: Recording, lane: Lane) -> float:
    """Return the relative error of a lane's modelled clock, (modelled − real) / real.

    Args:
        lane: a real run of the recorded prompt, temperature and seed.
    """
    return replay(recording, lane.label).clock_s / lane.clock_s - 1


def percent_of_oracle(recording: Recording, lane: Lane, times: Times | None = None) -> float | None:
    """Return the speed of a replayed lane as a percentage of the oracle's at the same times; None for a lane
    that failed. The oracle drafts up to the recording's depth."""
    return percent(lane, replay(recording, Oracle(max_draft=recording.depth), times))


def near_ties(recording: Recording, lane: Lane, times: Times | None = None) -> int:
    """Return how many choices of a replayed lane depend on rounding: the lead of a drafted token or of the
    target's own token, or the distance of a score from its threshold, is too small to be sure that a real run
    chooses the same. Return 0 under speculative sampling, where no run should choose the same.

    Args:
        times: the times that the lane was replayed with; None for the recorded times.
    """
    if not recording.replays_runs:
        return 0
    ties = sum(gap < recording.tie for gap in recording.target_gap)
    stopper, written = fresh_stopper(lane), 0
    stopper.expect(times or recording.times)
    stopper.expect_acceptance(recording.expected_acceptance)
    for round_ in lane.rounds:
        phase = _draft(recording, stopper, written)
        gaps = recording.chains[written].gap
        for draft, gap in zip(phase.drafts, gaps, strict=False):
            ties += gap < recording.tie or _near_threshold(draft)
        if phase.dropped_draft:  # it does not matter which token is dropped
            ties += _near_threshold(phase.dropped_draft)
        stopper.observe(len(round_.drafted), round_.accepted, round_.dropped)
        stopper.observe_times(len(round_.token_ids), round_.verify_s, round_.duration_s)
        written += len(round_.token_ids)
    return ties


@dataclass(slots=True)
class RecordedDraft:
    """A draft of a recorded chain, see `adaedl.draft_phase.DraftInHand`."""

    id: int
    step: DraftStep
    score: float | None = None
    threshold: float | None = None


def _near_threshold(draft: DraftInHand) -> bool:
    if draft.score is None or draft.threshold is None:
        return False
    return abs(draft.score - draft.threshold) < SCORE_TIE


def _draft(recording: Recording, stopper: Stopper, written: int) -> DraftPhase:
    """Run the draft phase of decode() on the chain that begins after `written` tokens."""
    chain = recording.chains[written]
    remaining = recording.max_new_tokens - written - 1
    if isinstance(stopper, Oracle):
        stopper.acceptable = recording.acceptable[written]

    def next_draft(drafts: list[RecordedDraft]) -> RecordedDraft:
        return RecordedDraft(chain.ids[len(drafts)], chain.steps[len(drafts)])

    return draft_until_stop(stopper, remaining, recording.eos_ids, next_draft)


def _verify(recording: Recording, stopper: Stopper, phase: DraftPhase, written: int) -> Round:
    """Return the round that follows from verifying a draft phase, without times."""
    chain, drafted = recording.chains[written], len(phase.drafts)
    accepted = min(drafted, recording.acceptable[written])
    position = written + accepted
    emitted = None
    if not phase.ends_text(accepted):
        token = recording.token_ids[position]
        kind = emitted_kind(drafted, accepted)
        emitted = Emitted(token, recording.texts[token], kind, recording.target_p[position])
    return Round(
        start_s=0.0,
        duration_s=0.0,
        draft_s=0.0,
        verify_s=0.0,
        accepted=accepted,
        stop_reason=phase.stop_reason,
        drafted=[
            _describe(recording, chain, draft, written + index, stopper.gamma, index < accepted)
            for index, draft in enumerate(phase.drafts)
        ],
        emitted=emitted,
        dropped=phase.dropped,
        ends_text=emitted is None or emitted.id in recording.eos_ids,
    )


def _describe(
    recording: Recording, chain: Chain, draft: DraftInHand, position: int, gamma: float, accepted: bool
) -> DraftedToken:
    index = draft.step.position - 1
    reached = index < len(chain.beta)
    # Under speculative sampling the target has no choice of its own at a draft's position.
    target = recording.token_ids[position] if reached and recording.replays_runs else None
    return DraftedToken(
        id=draft.id,
        text=recording.texts[draft.id],
        entropy=draft.step.entropy,
        bound=acceptance_lower_bound(draft.step.entropy, gamma),
        score=draft.score,
        threshold=draft.threshold,
        top_prob=draft.step.top_prob,
        q=chain.q[index],
        p=chain.p[index] if reached else None,
        beta=chain.beta[index] if reached else None,
        u=None,
        accepted=accepted,
        target_id=target,
        target_text=None if target is None else recording.texts[target],
    )
