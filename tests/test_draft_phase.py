"""The draft phase of a round: what ends it, and which drafts it keeps."""

from types import SimpleNamespace

import pytest
from toys import Resting

from adaedl.draft_phase import DraftPhase, draft_until_stop
from adaedl.stopping import DraftStep, make_stopper

EOS = 9


def draft_of(tokens: list[int], spec: str, remaining: int = 20, top_probs: dict[int, float] | None = None):
    """Return a stopper's draft phase on these tokens, with top probability 0.9 except as in `top_probs`."""
    positions = []

    def next_draft(drafts):
        position = len(drafts) + 1
        positions.append(position)
        step = DraftStep(0.0, (top_probs or {}).get(position, 0.9), 0.5, 0.9, position)
        return SimpleNamespace(id=tokens[len(drafts)], step=step, score=None, threshold=None)

    stopper = make_stopper(spec) if isinstance(spec, str) else spec
    phase = draft_until_stop(stopper, remaining, {EOS}, next_draft)
    assert positions == list(range(1, phase.steps + 1))
    return phase


@pytest.mark.parametrize(
    ("spec", "remaining", "drafts", "reason"),
    [
        ("fixed:k=3", 20, 3, "max_draft"),
        ("fixed:k=3", 3, 3, "max_draft"),
        ("fixed:k=3", 2, 2, "length"),
        ("fixed:k=3", 0, 0, "length"),
        ("autoregressive", 20, 0, "max_draft"),
    ],
)
def test_a_draft_ends_at_max_draft_or_at_the_length_of_the_text(spec, remaining, drafts, reason):
    phase = draft_of([1] * 12, spec, remaining)
    assert (len(phase.drafts), phase.stop_reason, phase.dropped) == (drafts, reason, 0)


def test_drafting_ends_at_an_end_of_sequence_token():
    phase = draft_of([1, 2, EOS, 3], "fixed:k=4")
    assert [draft.id for draft in phase.drafts] == [1, 2, EOS]
    assert phase.stop_reason == "eos"
    assert [phase.ends_text(accepted) for accepted in range(4)] == [False, False, False, True]
    assert not draft_of([1, 2], "fixed:k=2").ends_text(2)


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_keeps_or_drops_the_token_that_triggered_it(keep):
    spec = f"max_confidence:threshold=0.5,adapt=false,keep_last={str(keep).lower()}"
    phase = draft_of([1, 2, 3], spec, top_probs={2: 0.4})
    assert [draft.id for draft in phase.drafts] == [1, 2][: 1 + keep]
    assert (phase.stop_reason, phase.dropped, phase.steps) == ("threshold", 1 - keep, 2)
    last = phase.drafts[-1] if keep else phase.dropped_draft
    assert (last.id, last.score, last.threshold) == (2, 0.4, 0.5)


def test_the_end_of_the_text_takes_precedence_as_the_stop_reason():
    phase = draft_of([1, EOS], "max_confidence:threshold=0.5,adapt=false", top_probs={2: 0.4})
    assert phase.stop_reason == "eos"


def test_a_stopper_may_draft_nothing_in_a_round():
    stopper = Resting()  # drafts in every second round
    phases = [draft_of([1] * 4, stopper) for _ in range(4)]
    assert [len(phase.drafts) for phase in phases] == [2, 0, 2, 0]
    assert phases[1] == DraftPhase([], "threshold")
    assert draft_of([], stopper, remaining=0).stop_reason == "length"
