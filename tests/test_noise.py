"""Shared noise: known answers of its generator, its distribution, and the same bits on every path."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adaedl.models.cpu import kernels as cpu_kernels
from adaedl.models.shared_noise import SharedNoise, drawing
from adaedl.noise import gumbel, noise_of, noise_rows, philox
from adaedl.racing import new_trace
from adaedl.request import NOISE_VERSION, Sampling
from adaedl.trace import Trace

MIN_P_VALUE = 1e-4
LARGEST_SEED = 2**63 - 1
seeds = st.integers(0, LARGEST_SEED)


def test_philox_gives_its_authors_known_answers():
    # Random123 has two known answers with counters (c0, c1, 0, 0), but our seeds have 63 bits and keys 64.
    zeros = philox((torch.tensor([0]), 0), 0)
    assert [word.item() for word in zeros] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def reference_philox(c0: int, c1: int, key: int) -> list[int]:
    """Return Philox4x32-10 (Salmon et al., SC 2011, section 3.3) computed with Python integers."""
    words, keys = [c0, c1, 0, 0], [key % 2**32, key >> 32]
    for _ in range(10):
        (high0, low0), (high1, low1) = (
            divmod(0xD2511F53 * words[0], 2**32),
            divmod(0xCD9E8D57 * words[2], 2**32),
        )
        words = [high1 ^ words[1] ^ keys[0], low1, high0 ^ words[3] ^ keys[1], low0]
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return words


@settings(max_examples=100)
@given(st.integers(0, 2**31), st.integers(0, 2**31), seeds)
def test_philox_matches_the_paper(c0, c1, key):
    words = philox((torch.tensor([c0]), torch.tensor([c1])), key)
    assert [word.item() for word in words] == reference_philox(c0, c1, key)


def test_noise_is_standard_gumbel_noise():
    noise = SharedNoise(0, 5000).at(0, 40).flatten()
    assert stats.kstest(noise.numpy(), stats.gumbel_r.cdf).pvalue > MIN_P_VALUE


def test_noise_is_accurate_for_common_and_rare_bits():
    """The reference is float64, which computes log u from 1 − u if u is near 1."""
    fractions = torch.tensor([0.0, 2**-31, 2**-24, 2**-12, 0.25, 0.28, 0.3, 0.5, 0.75, 1 - 2**-24])
    high = (fractions.double() * 2**32).long()
    for low in (0, 1, 12345, 2**32 - 1):
        from_one = [(h * 2**32 + (low | 1)) / 2**64 for h in high.tolist()]  # 1 − u
        exact = [-np.log(-np.log1p(-fraction)) for fraction in from_one]
        assert gumbel(high, torch.full_like(high, low)).tolist() == pytest.approx(exact, rel=1e-6, abs=1e-6)
    largest = torch.tensor([2**32 - 1])
    assert gumbel(largest, largest).item() == pytest.approx(-np.log(64 * np.log(2)), abs=1e-5)


def test_noise_of_positions_seeds_and_tokens_is_independent():
    noise = SharedNoise(7, 2000).at(0, 30)
    others = [
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise, SharedNoise(8, 2000).at(0, 30)),
        (noise, SharedNoise(7 + 2**32, 2000).at(0, 30)),
    ]
    for one, other in others:
        assert stats.pearsonr(one.flatten().numpy(), other.flatten().numpy()).pvalue > MIN_P_VALUE
    assert noise.unique().numel() > 0.99 * noise.numel()


@settings(max_examples=60)
@given(seeds, st.integers(0, 2**20), st.integers(1, 4), st.integers(2, 3000))
def test_any_part_of_the_noise_is_the_same_whichever_way_it_is_computed(seed, position, count, size):
    rows = noise_rows("cpu", seed, position, count, size)
    assert rows.shape == (count, size)
    assert torch.equal(SharedNoise(seed, size).at(position, count), rows)
    assert torch.equal(SharedNoise(seed, size + 777).at(position + count - 1)[0, :size], rows[-1])
    tokens = torch.randperm(size)[: size // 3 + 1]
    assert torch.equal(noise_of(seed, position, tokens), rows[0, tokens])
    assert torch.equal(SharedNoise(seed, size).of(position, tokens), rows[0, tokens])


def test_the_cpu_kernels_compute_the_same_bits():
    assert drawing(torch.device("cpu")) == (cpu_kernels.noise_rows, cpu_kernels.noise_of)
    for seed, first, size in ((0, 0, 1), (LARGEST_SEED, 4095, 49_152), (2**40 + 3, 2**20, 5_001)):
        assert torch.equal(
            cpu_kernels.noise_rows(seed, first, 2, size), noise_rows("cpu", seed, first, 2, size)
        )


@pytest.mark.parametrize("size", [1, 3, 513, 5_000])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_cpu_kernels_choose_with_the_same_bits(size, threads):
    logits = torch.randn(5, size, generator=torch.Generator().manual_seed(size))
    noise = SharedNoise(LARGEST_SEED - 5, size)
    expected = (logits / 0.7 + noise.at(11, 5)).argmax(-1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        chosen, undefined = cpu_kernels.choose(logits, noise.place(11), 0.7)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(chosen, expected)
    assert not undefined


@pytest.mark.parametrize("trimmed", [False, True])
def test_the_cpu_kernels_draft_with_the_same_bits(trimmed):
    generator = torch.Generator().manual_seed(2)
    noise, vocab = (
        SharedNoise(5, 9_000),
        torch.randperm(9_000, generator=generator)[:1_500] if trimmed else None,
    )
    for position in range(30):
        logits = torch.randn(1_500 if trimmed else 9_000, generator=generator)
        row = noise.of(position, vocab) if trimmed else noise.at(position)[0]
        index = (logits / 0.8 + row).argmax()
        assert cpu_kernels.read_draft(logits, noise.place(position), vocab, 0.8, 1.0).index.item() == index


def test_a_trace_stores_its_noise_version(default_pair):
    trace = new_trace(default_pair, "Why?", ["adaedl"], Sampling(0.7), max_new_tokens=4)
    assert Trace.from_json(trace.to_json()).noise_version == NOISE_VERSION == 2
    old = trace.to_dict()
    del old["noise_version"]
    assert Trace.from_json(json.dumps(old)).noise_version == 1
