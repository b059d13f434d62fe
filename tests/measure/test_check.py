"""The measurements of `check`: a correct engine passes, and errors are detected."""

import pytest
import torch
from scipy.stats import chisquare
from toys import tiny_pair

from adaedl.measure import check
from adaedl.measure.check import goodness_of_fit, without_negligible
from adaedl.models.transformers import TransformersRunner
from adaedl.sampling import verify_speculative
from adaedl.stopping import LIVE_STOPPERS

PROMPTS = ["w1 w2 w3", "w9 w8"]
TEXTS = len(PROMPTS) * (len(LIVE_STOPPERS) - 1)  # every lane except the baseline


def measure(pair, **changes):
    settings = {"max_new_tokens": 12, "draws": 2000, "seed": 0, **changes}
    return list(check.check(pair, PROMPTS, **settings))


@pytest.mark.parametrize("kind", ["feature", "self"])
def test_every_property_holds_for_a_correct_engine(kind):
    measurements = measure(tiny_pair(kind, runner=TransformersRunner, eos_ids=(5,)))
    assert len(measurements) == 6
    assert [m.name for m in measurements if not m.passed] == []
    assert all(f"of {TEXTS} texts" in m.found for m in measurements[:3])


def test_a_rule_that_accepts_every_draft_fails(monkeypatch):
    def accept_all(p, q, drafted, uniforms, draft_vocab=None):
        accepted, emitted = verify_speculative(p, q, drafted, uniforms, draft_vocab)
        return torch.full_like(accepted, drafted.shape[-1]), emitted

    monkeypatch.setattr(check, "verify_speculative", accept_all)
    failed = [m.name for m in measure(tiny_pair("feature", runner=TransformersRunner)) if not m.passed]
    assert failed == ["the speculative rule draws from the target's distribution"]


@pytest.fixture
def one_wrong_token(monkeypatch):
    """Change one token of a lane in the second race."""
    races = check._races

    def with_one_wrong_token(*args):
        traces = races(*args)
        wrong = traces[1].lanes[3].token_ids
        wrong[4] = (wrong[4] + 1) % 32
        return traces

    monkeypatch.setattr(check, "_races", with_one_wrong_token)


def test_a_lane_with_another_text_fails(one_wrong_token):
    measurements = measure(tiny_pair("feature", runner=TransformersRunner))
    assert [m.passed for m in measurements] == [False, False, False, True, True, True]
    assert f"{TEXTS - 1} of {TEXTS} texts are the same" in measurements[0].found


def test_texts_that_differ_only_by_rounding_pass(one_wrong_token, monkeypatch):
    limits = {0: 1e6, 0.7: 2e6, 1.0: 3e6}
    monkeypatch.setattr(check, "rounding_of", lambda dtype, sampling: limits[sampling.temperature])
    measurements = measure(tiny_pair("feature", runner=TransformersRunner))
    assert all(m.passed for m in measurements)
    for each, limit in zip(measurements, limits.values(), strict=False):
        assert f", 1 more up to a tie of the two best choices (within {limit:g})" in each.found


def test_goodness_of_fit_is_the_p_value_of_pearsons_chi_square():
    p = torch.tensor([0.5, 0.3, 0.2])
    tokens = torch.tensor([0] * 55 + [1] * 20 + [2] * 25)
    expected = chisquare([55, 20, 25], [50, 30, 20]).pvalue
    assert goodness_of_fit(tokens, p) == pytest.approx(expected, rel=1e-5)


def test_rare_tokens_share_one_cell():
    p = torch.tensor([0.9, *[0.01] * 10])
    tokens = torch.tensor([0] * 85 + list(range(1, 11)) + [1] * 5)
    expected = chisquare([85, 15], [90, 10]).pvalue
    assert goodness_of_fit(tokens, p) == pytest.approx(expected, rel=1e-5)


def test_a_token_with_probability_0_fails():
    assert goodness_of_fit(torch.tensor([0] * 99 + [1]), torch.tensor([1.0, 0.0])) == 0


def test_removing_negligible_tokens_keeps_the_vocabulary_consistent():
    p = torch.tensor([0.0, 0.6, 1e-7, 0.4, 0.0])
    q = torch.tensor([0.25, 0.0, 0.75])
    kept_p, kept_q, vocab = without_negligible(p, q, torch.tensor([4, 2, 1]))
    assert torch.allclose(kept_p, torch.tensor([0.6, 0.4, 0.0]))  # ids 1, 3 and 4
    assert torch.allclose(kept_q, torch.tensor([0.25, 0.75]))
    assert vocab.tolist() == [2, 0]
