"""Warping, drawing and the two verification rules, compared with hand-computed values, scipy and a second
implementation (`toys.reference_warp`)."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from toys import reference_warp

from adaedl import sampling
from adaedl.errors import UserError
from adaedl.models.shared_noise import SharedNoise
from adaedl.request import Sampling
from adaedl.sampling import (
    acceptance_probability,
    choose_with_noise,
    count_accepted,
    draft_statistics,
    draw,
    residual,
    verify_by_match,
    verify_speculative,
    warp,
)
from adaedl.stopping import acceptance_lower_bound

quickly = settings(max_examples=60)
logits_rows = (
    st.integers(2, 12)
    .flatmap(
        # Multiples of 1/16: different values differ clearly, in float32 as in float64.
        lambda size: arrays(np.int64, (3, size), elements=st.integers(-160, 160), unique=True)
    )
    .map(lambda rows: rows / 16)
)
warps = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.3]),
    top_k=st.integers(0, 13),
    top_p=st.floats(0.05, 1.0),
)


def distributions(size: int = 6):
    weights = arrays(np.float64, size, elements=st.floats(0, 1))
    return weights.filter(lambda w: w.sum() > 0.1).map(lambda w: torch.tensor(w / w.sum()).float())


# Warping.


def test_temperature_divides_the_logits():
    probs = warp(torch.tensor([0.0, math.log(2.0)]), Sampling(0.5))
    assert probs.tolist() == pytest.approx([1 / 5, 4 / 5])


def test_temperature_0_puts_all_probability_on_the_argmax():
    assert warp(torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]), Sampling(0)).tolist() == [
        [0, 1, 0],
        [1, 0, 0],
    ]


def test_top_k_keeps_the_k_most_probable_and_their_ties():
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert warp(logits, Sampling(1, top_k=2)).tolist() == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert warp(torch.zeros(4), Sampling(1, top_k=2)).tolist() == pytest.approx([0.25] * 4)


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    logits = torch.log(torch.tensor([0.1, 0.5, 0.15, 0.25]))
    assert warp(logits, Sampling(1, top_p=0.7)).tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3])
    assert warp(logits, Sampling(1, top_p=0.8)).tolist() == pytest.approx([0, 5 / 9, 1.5 / 9, 2.5 / 9])


def test_tokens_tied_at_the_edge_of_the_nucleus_are_all_kept():
    logits = torch.tensor([0.0, 3.0, 0.0, 2.0, 0.0])
    assert warp(logits, Sampling(1, top_p=0.96)).count_nonzero() == 5
    assert warp(logits, Sampling(1, top_p=0.9)).nonzero().flatten().tolist() == [1, 3]


def flat_and_tied_rows(dtype: torch.dtype, size: int, seed: int) -> torch.Tensor:
    """Return rows of logits like those of 16-bit models: few distinct values, hence many exact ties, and some
    rows nearly flat."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(6, size, generator=generator) * torch.tensor([4.0, 3, 2, 1, 0.1, 0])[:, None]
    return rows.to(torch.bfloat16).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [50, 1024, 5000])
@pytest.mark.parametrize("top_k", [0, 1, 40, 1500])
@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.99, 0.999999, 1.0])
def test_the_tokens_a_row_keeps_do_not_depend_on_other_rows(dtype, size, top_k, top_p):
    for temperature in (0.01, 0.7, 1.3, 10):
        sampling = Sampling(temperature, top_k=top_k, top_p=top_p)
        rows = flat_and_tied_rows(dtype, size, top_k)
        together = warp(rows, sampling)
        for row, expected in zip(rows, together, strict=True):
            assert torch.equal(warp(row, sampling), expected)
            assert torch.equal(warp(torch.stack((row, rows[-1])), sampling)[0], expected)


def test_the_tokens_a_row_keeps_do_not_depend_on_their_order():
    rows = flat_and_tied_rows(torch.float32, 3000, seed=1)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(2))
    for top_p in (0.2, 0.8, 0.95):
        kept = warp(rows, Sampling(0.8, top_p=top_p)) > 0
        assert torch.equal(warp(rows[:, order], Sampling(0.8, top_p=top_p)) > 0, kept[:, order])


def test_top_p_is_applied_after_top_k():
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    # The first of the two tokens that top-k keeps has 4/7 > 0.5, so it alone is the nucleus.
    assert warp(logits, Sampling(1, top_k=2, top_p=0.5)).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("top_p", [0.5, 0.9, 0.999])
def test_top_p_is_right_for_small_and_large_nuclei_in_a_large_vocabulary(top_p):
    flat, peaked = torch.zeros(3000), torch.zeros(3000)
    flat += torch.linspace(0, 0.01, 3000)
    peaked += torch.linspace(0, 40, 3000)
    rows = torch.stack((flat, peaked))
    expected = reference_warp(rows.double().numpy(), Sampling(1, top_p=top_p))
    warped = warp(rows, Sampling(1, top_p=top_p)).numpy()
    # A float32 sum of thousands of terms may be off by a token or two at top_p.
    assert np.abs((warped > 0).sum(-1) - (expected > 0).sum(-1)).max() <= 2
    assert np.abs(warped - expected).max() < 1e-5


def test_half_precision_logits_are_warped_in_float32():
    logits = torch.tensor([1.0, 2.0, 3.0])
    assert warp(logits.bfloat16(), Sampling(0.7)).dtype == torch.float32
    assert torch.equal(warp(logits.bfloat16(), Sampling(0.7)), warp(logits, Sampling(0.7)))


@quickly
@given(logits_rows, warps)
def test_warping_agrees_with_a_second_implementation(rows, sampling):
    expected = reference_warp(rows, sampling)
    # If a cumulative sum equals top_p exactly, both answers are right.
    if not sampling.greedy and sampling.top_p < 1:
        kept = reference_warp(rows, Sampling(sampling.temperature, sampling.top_k))
        cumulative = np.sort(kept, -1)[:, ::-1].cumsum(-1)
        assume(np.abs(cumulative - sampling.top_p).min() > 1e-5)
    assert np.abs(warp(torch.tensor(rows), sampling).numpy() - expected).max() < 1e-5


@quickly
@given(logits_rows, warps)
def test_warped_rows_are_distributions_that_keep_the_order_and_the_argmax(rows, sampling):
    logits = torch.tensor(rows)
    probs = warp(logits, sampling)
    assert probs.sum(-1).numpy() == pytest.approx(1, abs=1e-5)
    assert (probs >= 0).all()
    assert (probs.gather(-1, logits.argmax(-1, keepdim=True)) > 0).all()
    in_order = probs.gather(-1, logits.argsort(-1))
    assert (in_order.diff(dim=-1) >= -1e-7).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": 1e-40}, "temperature is 1e-40; use 0 for greedy decoding, or a value"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": 10**400}, "temperature is 1000"),
        ({"temperature": None}, "temperature is None"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_k": True}, "top_k is True"),
    ],
)
def test_sampling_out_of_range_is_refused_with_the_value(values, message):
    with pytest.raises(UserError, match=message):
        Sampling(**values)


def test_top_k_may_be_an_integral_float():
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert warp(logits, Sampling(1, top_k=2.0)).tolist() == pytest.approx([4 / 7, 3 / 7, 0, 0])


# Drawing.


def test_draw_inverts_the_cumulative_distribution():
    probs = torch.tensor([0.25, 0.0, 0.5, 0.25]).expand(6, 4)
    uniforms = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert draw(probs, uniforms).tolist() == [0, 0, 2, 2, 3, 3]


@quickly
@given(distributions(), st.floats(0, 1, exclude_max=True), st.floats(0.01, 100))
def test_a_token_of_probability_zero_is_never_drawn(probs, uniform, scale):
    drawn = draw(probs * scale, torch.tensor(uniform, dtype=torch.float64))
    assert probs[drawn] > 0


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1 / 3, 1.0, 7.1, 1e4])
def test_a_uniform_number_that_rounds_to_1_draws_no_impossible_token(monkeypatch, precision, scale):
    """A device without float64 may round uniform numbers, and their product with the total, up."""
    monkeypatch.setattr(sampling, "uniform_dtype", lambda device: precision)
    generator = torch.Generator().manual_seed(3)
    probs = torch.rand(400, 7, generator=generator) * scale
    probs[:, 4:] = 0
    for number in (1 - 2**-24, 1 - 2**-25, 1 - 2**-53):
        assert draw(probs, torch.full((400,), number, dtype=torch.float64)).eq(3).all()
    assert draw(probs, torch.zeros(400, dtype=torch.float64)).eq(0).all()


def test_draws_follow_their_distribution():
    probs = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    uniforms = torch.rand(50_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(draw(probs.expand(50_000, 4), uniforms), minlength=4)
    assert stats.chisquare(counts.numpy(), probs.numpy() * 50_000).pvalue > 1e-4


def test_choosing_with_noise_is_an_exact_draw_from_the_warped_logits():
    logits = torch.tensor([0.3, -1.0, 2.0, 0.5, 1.0])
    sampling = Sampling(0.9, top_k=4, top_p=0.9)
    noise = SharedNoise(1, 5).at(0, 30_000)
    counts = torch.bincount(choose_with_noise(logits.expand(30_000, 5), noise, sampling), minlength=5).numpy()
    expected = reference_warp(logits.double().numpy()[None], sampling)[0]
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], expected[possible] * 30_000).pvalue > 1e-4


# β, the residual, and verification.


def test_acceptance_probability_is_one_minus_the_total_variation_distance():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    assert acceptance_probability(p, q).item() == pytest.approx(0.7)


def test_acceptance_probability_with_a_trimmed_draft_vocabulary():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.6])
    assert acceptance_probability(p, q, torch.tensor([2, 0])).item() == pytest.approx(0.2 + 0.5)


@quickly
@given(distributions(), distributions())
def test_acceptance_probability_and_residual_mass_add_up_to_one(p, q):
    beta = acceptance_probability(p, q).item()
    assert 0 <= beta <= 1 + 1e-6
    assert beta == pytest.approx(1 - (p - q).abs().sum().item() / 2, abs=1e-5)
    if beta < 0.999:
        assert residual(p, q).sum().item() == pytest.approx(1 - beta, abs=1e-5)


def test_the_residual_is_the_positive_part_of_p_minus_q():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    assert residual(p, q).tolist() == pytest.approx([0.3, 0, 0])
    assert residual(p, torch.tensor([0.9, 0.1]), torch.tensor([2, 0])).tolist() == pytest.approx(
        [0.4, 0.3, 0]
    )


def test_the_residual_of_equal_distributions_is_p_itself():
    p = torch.tensor([0.5, 0.3, 0.2])
    assert torch.equal(residual(p, p), p)


def test_drafts_before_the_first_rejection_are_accepted():
    agrees = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    assert count_accepted(agrees).tolist() == [2, 0, 4]
    assert count_accepted(torch.zeros(2, 0, dtype=torch.bool)).tolist() == [0, 0]


def test_speculative_verification_accepts_with_probability_p_over_q():
    p = torch.tensor([[0.3, 0.7], [0.5, 0.5]])
    q = torch.tensor([[0.6, 0.4]])
    drafted = torch.tensor([0])  # p/q is 1/2

    def verify(*uniforms):
        accepted, emitted = verify_speculative(p, q, drafted, torch.tensor(uniforms, dtype=torch.float64))
        return accepted.item(), emitted.item()

    assert verify(0.49, 0.2) == (1, 0)  # accepted; the bonus from [0.5, 0.5]
    assert verify(0.49, 0.8) == (1, 1)
    assert verify(0.51, 0.2) == (0, 1)  # rejected; the correction from (p − q)+ = [0, 0.3]
    assert verify(0.51, 0.0) == (0, 1)


def test_a_draft_with_target_probability_zero_is_never_accepted():
    p, q = torch.tensor([[0.0, 1.0], [0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    accepted, emitted = verify_speculative(p, q, torch.tensor([0]), torch.tensor([0.0, 0.5]))
    assert (accepted.item(), emitted.item()) == (0, 1)


def test_verification_maps_a_trimmed_draft_vocabulary_to_the_targets_ids():
    p = torch.tensor([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    q, vocab = torch.tensor([[0.5, 0.5]]), torch.tensor([2, 0])
    # Token 0 of the draft is the target's 2: p/q > 1, always accepted. Its token 1 is the target's 0: 0.2.
    always = verify_speculative(p, q, torch.tensor([0]), torch.tensor([0.99, 0.5]), vocab)
    rarely = verify_speculative(p, q, torch.tensor([1]), torch.tensor([0.21, 0.0]), vocab)
    assert [t.item() for t in always] == [1, 0]
    # (p − q)+ = [0, 0.2, 0.2]
    assert [t.item() for t in rarely] == [0, 1]


def test_verification_by_match_accepts_the_targets_own_choices():
    target = torch.tensor([[4, 5, 6], [4, 5, 6], [4, 5, 6]])
    drafted = torch.tensor([[4, 5], [4, 1], [1, 5]])
    accepted, emitted = verify_by_match(target, drafted)
    assert accepted.tolist() == [2, 1, 0]
    assert emitted.tolist() == [6, 5, 4]


# Statistics for stoppers.


@quickly
@given(distributions(5))
def test_draft_statistics_agree_with_scipy(probs):
    statistics = draft_statistics(probs)
    first, second = sorted(probs.tolist(), reverse=True)[:2]
    assert statistics.entropy.item() == pytest.approx(stats.entropy(probs.double().numpy()), abs=1e-5)
    assert statistics.top_prob.item() == pytest.approx(first)
    assert statistics.margin.item() == pytest.approx(first - second, abs=1e-6)


def test_the_margin_of_a_vocabulary_of_one_is_1():
    assert draft_statistics(torch.tensor([1.0])).margin.item() == 1


@pytest.mark.parametrize(
    ("entropy", "gamma", "bound"),
    [
        (0, 0.2, 1),
        (5, 0.2, 0),
        (math.log(2), 0.2, 0.62767),
        (1.8, 0.2, 0.4),
        (10, 0.2, 1 - math.sqrt(2)),
        (1, 0, 1),
    ],
)
def test_the_acceptance_lower_bound_is_one_minus_the_root_of_gamma_times_entropy(entropy, gamma, bound):
    assert acceptance_lower_bound(entropy, gamma) == pytest.approx(bound, abs=1e-5)


def test_an_entropy_rounded_below_zero_counts_as_zero():
    assert acceptance_lower_bound(-1e-9) == 1
