"""Losslessness, measured: the text has the target's own distribution, whatever the stopper.

Every case writes 6,000 texts of a toy world (vocabulary of 4 tokens, texts of 5 tokens) and compares their
frequencies with the target's exact probabilities, by Pearson's chi-square test on the first three tokens and
on the last three; both p-values must be above 1e-4. The lockstep player `toys.play` runs the functions of
adaedl/sampling.py and the real stoppers. Fewer cases run `decode()` itself (2,000 texts of three tokens;
1,500 with transformers targets), and both write the same texts from the same random numbers.

There are 516 cases of sampled texts with two tests each, and 10 cases of `decode()` with one: 1,042 tests, so
with random seeds the probability of any false alarm would be at most 1,042 · 1e-4 = 10%; the seeds are fixed.
At temperature 0 (60 cases) every run must write the target's argmax text. The tests themselves are tested:
four broken rules must fail them.
"""

import itertools
import random
import zlib

import numpy as np
import pytest
import torch
from toys import (
    Randomness,
    Resting,
    World,
    chi_square,
    on_toy_time,
    play,
    random_world,
    reference_warp,
    tiny_drafter_net,
    tiny_llama,
    toy_pair,
    world_of_models,
    world_pair,
)

from adaedl import sampling as rules
from adaedl.decoding import decode
from adaedl.models.drafters.feature import FeatureDrafter
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.models.shared_noise import SharedNoise
from adaedl.request import VERIFICATIONS, Sampling
from adaedl.stopping import LIVE_STOPPERS, make_stopper

pytestmark = pytest.mark.slow
RUNS = 6_000
DECODED = 2_000
ARGMAX_RUNS = 200  # at temperature 0, where all runs must be the same
MIN_P_VALUE = 1e-4

# Settings that stop a toy draft sometimes early and sometimes late, and move λ far within five tokens.
ADAPT = "epsilon=0.3,beta2=0.2"
SPECS = (
    "autoregressive",
    "fixed:k=3",
    f"adaedl:threshold=0.6,{ADAPT}",
    f"max_confidence:threshold=0.6,{ADAPT}",
    "svip:h=0.35",
    "margin:threshold=0.3",
    "heuristic:k=2",
    "confidence:threshold=0.4",
    "bandit",
    "throughput",
)
# Tested on fewer distributions: they use no signals that the stoppers above don't use.
RIVALS = (
    "survival:threshold=0.5",
    "ema:k=1,warmup=0,interval=1,smoothing=1",
    "gammatune:k=1,smoothing=1",
    "profile:trusted=1",
    "gate:k=3,low=0.9,high=1.05,smoothing=1",
)
EVERY_SPEC = (*SPECS, *RIVALS)
DROPPING = (
    f"adaedl:threshold=0.6,keep_last=false,{ADAPT}",
    f"max_confidence:threshold=0.6,keep_last=false,{ADAPT}",
    "svip:h=0.35,keep_last=false",
    "margin:threshold=0.3,keep_last=false",
    "bandit:keep_last=false",
    "survival:threshold=0.5,use_bound=true,keep_last=false",
    "gate:k=3,low=0.9,high=1.05,smoothing=1,keep_last=false",
    "throughput:keep_last=false",
)
WARPS = ((0, 1.0), (3, 1.0), (0, 0.8), (3, 0.8))  # top_k, top_p
TEMPERATURES = (0.7, 1.3)

WORLDS: dict[str, World] = {
    "whole": random_world(seed=0),
    "trimmed": random_world(seed=1, trimmed=True),
    "eos": random_world(seed=2, trimmed=True, eos=True),
}


@pytest.fixture(scope="module")
def llama_world() -> World:
    target, draft = tiny_llamas()
    return world_of_models(target, draft, length=5)


def tiny_llamas():
    shape = {"vocab_size": 5, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    target = tiny_llama(seed=3, **shape)
    draft = tiny_llama(seed=3, **shape)
    noise = torch.Generator().manual_seed(4)
    for weight in draft.parameters():  # a draft that resembles the target
        weight.add_(0.1 * torch.randn(weight.shape, generator=noise))
    return target, draft


def assert_lossless(world: World, spec: str, sampling: Sampling, verification: str) -> None:
    randomness = seeded(world, spec, sampling, verification)
    texts = play(world, spec, sampling, verification, randomness).texts
    assert min(p_values(world, texts, sampling)) > MIN_P_VALUE


def seeded(world: World, *case, runs: int = RUNS) -> Randomness:
    verification = case[-1]
    return Randomness.seeded(zlib.crc32(repr(case).encode()), verification, runs, world)


def p_values(world: World, texts: torch.Tensor, sampling: Sampling) -> tuple[float, float]:
    """Return the p-values of the first three and of the last three tokens of texts [runs, 5]."""
    probabilities = world.text_probabilities(sampling)
    return (
        chi_square(texts[:, :3], probabilities.sum((3, 4))),
        chi_square(texts[:, 2:], probabilities.sum((0, 1))),
    )


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize(("top_k", "top_p"), WARPS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("world", ["whole", "trimmed"])
@pytest.mark.parametrize("spec", SPECS)
def test_texts_of_every_stopper_have_the_targets_distribution(
    spec, world, temperature, top_k, top_p, verification
):
    assert_lossless(WORLDS[world], spec, Sampling(temperature, top_k, top_p), verification)


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("world", ["whole", "trimmed"])
@pytest.mark.parametrize("spec", RIVALS)
def test_texts_of_the_rivals_have_the_targets_distribution(spec, world, verification):
    assert_lossless(WORLDS[world], spec, Sampling(1.3, top_p=0.8), verification)


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("world", ["whole", "trimmed"])
@pytest.mark.parametrize("spec", DROPPING)
def test_dropping_the_token_that_triggered_the_stop_is_lossless(spec, world, temperature, verification):
    assert_lossless(WORLDS[world], spec, Sampling(temperature), verification)


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("world", ["whole", "trimmed", "eos"])
def test_rounds_without_drafts_are_lossless(world, verification):
    world = WORLDS[world]
    randomness = seeded(world, "resting", verification)
    round_ = play(world, Resting(), Sampling(0.9), verification, randomness)
    assert min(p_values(world, round_.texts, Sampling(0.9))) > MIN_P_VALUE
    assert round_.drafted[:, 0].ge(1).all()
    assert round_.drafted[:, 1].le(0).all()
    assert round_.drafted[:, 2].gt(0).any()


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_texts_with_an_end_have_the_targets_distribution(spec, temperature, verification):
    assert_lossless(WORLDS["eos"], spec, Sampling(temperature), verification)


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("spec", [*EVERY_SPEC, *DROPPING])
def test_transformers_models_are_lossless_under_every_stopper(spec, verification, llama_world):
    assert_lossless(llama_world, spec, Sampling(0.7, top_p=0.9), verification)


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("world", ["whole", "trimmed"])
@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_at_temperature_0_every_run_writes_the_targets_argmax_text(spec, world, verification):
    randomness = seeded(WORLDS[world], spec, world, verification, runs=ARGMAX_RUNS)
    round_ = play(WORLDS[world], spec, Sampling(0), verification, randomness)
    expected, node = [], 0
    for _ in range(WORLDS[world].length):
        expected.append(int(WORLDS[world].target_logits[node].argmax()))
        node = WORLDS[world].child(node, expected[-1])
    assert (round_.texts == torch.tensor(expected)).all()


@pytest.mark.parametrize("spec", [*SPECS[2:6], SPECS[7], RIVALS[0], *RIVALS[3:], *DROPPING])
def test_the_settings_here_stop_early_and_late(spec):
    world, sampling = WORLDS["trimmed"], Sampling(0.7)
    round_ = play(world, spec, sampling, "speculative", seeded(world, spec, "speculative"))
    two_rounds = round_.drafted[:, :2]  # later rounds are limited by the length of the text
    lengths = torch.bincount(two_rounds[two_rounds >= 0])
    assert (lengths > 0.02 * lengths.sum()).sum() >= 2
    accepted, drafted = (numbers.clamp(min=0).sum() for numbers in (round_.accepted, round_.drafted))
    assert 0.1 < accepted / drafted < 0.95


# The tests fail for broken rules.


def broken_p_value(verify, stopper="fixed:k=3", randomness=None, verification="speculative") -> float:
    world, sampling = WORLDS["trimmed"], Sampling(0.7)
    randomness = randomness or seeded(world, "broken", verification)
    round_ = play(world, stopper, sampling, verification, randomness, verify)
    return min(p_values(world, round_.texts, sampling))


def test_a_correction_drawn_from_p_fails(monkeypatch):
    monkeypatch.setattr(rules, "residual", lambda p, q, draft_vocab=None: p)
    assert broken_p_value(rules.verify_speculative) < MIN_P_VALUE


def test_accepting_with_probability_p_instead_of_p_over_q_fails():
    def without_q(p, q, drafted, uniforms, draft_vocab):
        # u < p is the same as u·q < p with u replaced by u/q.
        uniforms[:, :-1] /= q.gather(-1, drafted[..., None]).squeeze(-1)
        return rules.verify_speculative(p, q, drafted, uniforms, draft_vocab)

    assert broken_p_value(without_q) < MIN_P_VALUE


def test_the_same_noise_at_every_position_fails():
    randomness = seeded(WORLDS["trimmed"], "broken", "shared_noise")
    randomness.noise = randomness.noise[:, :1].expand_as(randomness.noise)
    assert broken_p_value(None, randomness=randomness, verification="shared_noise") < MIN_P_VALUE


def test_dropping_a_token_by_its_own_score_fails_and_is_refused():
    stopper = make_stopper("confidence:threshold=0.4")
    stopper.keep_last = False
    assert broken_p_value(rules.verify_speculative, stopper) < MIN_P_VALUE
    with pytest.raises(ValueError, match="keep_last"):
        make_stopper("confidence:keep_last=false")


# decode() itself.

TIED = [*itertools.product([*EVERY_SPEC, *DROPPING], VERIFICATIONS, ["trimmed", "eos"], [0.7])]
TIED += [("fixed:k=3", "speculative", "whole", 1.3), (SPECS[2], "shared_noise", "whole", 0.0)]


@pytest.mark.parametrize(("spec", "verification", "world", "temperature"), TIED)
def test_decode_and_the_lockstep_player_write_the_same_rounds(spec, verification, world, temperature):
    world, sampling = WORLDS[world], Sampling(temperature)
    seeds = range(40)
    if verification == "speculative":
        streams = [random.Random(seed) for seed in seeds]
        numbers = [[stream.random() for _ in range(60)] for stream in streams]
        randomness = Randomness(uniforms=torch.tensor(numbers, dtype=torch.float64))
    else:
        rows = [SharedNoise(seed, world.vocab_size).at(0, world.length) for seed in seeds]
        randomness = Randomness(noise=torch.stack(rows))
    round_ = play(world, spec, sampling, verification, randomness)
    for seed in seeds:
        rounds = list(
            decode(
                world_pair(world),
                torch.tensor([0]),
                on_toy_time(make_stopper(spec)),
                sampling,
                max_new_tokens=world.length,
                seed=seed,
                verification=verification,
                record=False,
            )
        )
        text = [token for r in rounds for token in r.token_ids]
        assert text == round_.texts[seed, : len(text)].tolist()
        assert round_.texts[seed, len(text) :].eq(text[-1]).all()
        assert [len(r.drafted) for r in rounds] == [n for n in round_.drafted[seed].tolist() if n >= 0]
        assert [r.accepted for r in rounds] == [n for n in round_.accepted[seed].tolist() if n >= 0]


@pytest.mark.parametrize(
    ("spec", "verification", "kind", "temperature"),
    [
        ("fixed:k=2", "speculative", "trimmed feature", 0.7),
        ("fixed:k=2", "speculative", "independent", 1.3),
        (f"adaedl:threshold=0.6,{ADAPT}", "speculative", "trimmed feature", 1.3),
        ("adaedl:threshold=0.6,keep_last=false", "speculative", "independent", 0.7),
        ("confidence:threshold=0.4", "speculative", "trimmed feature", 0.7),
        ("heuristic:k=2", "shared_noise", "independent", 0.7),
        ("margin:threshold=0.3,keep_last=false", "shared_noise", "trimmed feature", 1.3),
        ("fixed:k=2", "speculative", "transformers", 0.7),
        ("fixed:k=2", "speculative", "growing vocabulary", 0.7),
        (f"adaedl:threshold=0.6,{ADAPT}", "shared_noise", "growing vocabulary", 1.3),
    ],
)
def test_texts_of_decode_have_the_targets_distribution(spec, verification, kind, temperature):
    if kind == "transformers":
        target, draft = tiny_llamas()
        world, runs = world_of_models(target, draft, length=3), 1_500
        pair = toy_pair(make_runner(target), IndependentDrafter(make_runner(draft)))
    elif kind == "growing vocabulary":  # grows by the prompt's token, and by a written token that is missing
        target, draft = tiny_llamas()
        world, runs = world_of_models(target, draft, length=3), 1_500
        net = tiny_drafter_net(target, 3, feature_layers=(0, 1, 2))
        embeddings = target.get_input_embeddings().weight.detach()
        runner = make_runner(target)
        pair = toy_pair(runner, FeatureDrafter(net, torch.tensor([1, 2, 4]), runner, embeddings))
    else:
        world, runs = random_world(seed=5, length=3, trimmed="trimmed" in kind), DECODED
        pair = world_pair(world, kind.split()[-1])
    sampling, prompt = Sampling(temperature), torch.tensor([0])
    texts = []
    for seed in range(runs):
        rounds = decode(
            pair,
            prompt,
            make_stopper(spec),
            sampling,
            max_new_tokens=3,
            seed=seed,
            verification=verification,
            record=False,
        )
        texts.append([token for r in rounds for token in r.token_ids])
    assert chi_square(torch.tensor(texts), world.text_probabilities(sampling)) > MIN_P_VALUE


# The tests' own tools.


def test_every_stopper_is_tested_here():
    assert {spec.partition(":")[0] for spec in EVERY_SPEC} == set(LIVE_STOPPERS)


def test_exact_text_probabilities_add_up_to_1_and_stop_at_the_end_of_a_text():
    probabilities = WORLDS["eos"].text_probabilities(Sampling(0.7, top_k=3))
    eos = WORLDS["eos"].eos_id
    assert probabilities.sum() == pytest.approx(1)
    first = reference_warp(WORLDS["eos"].target_logits[:1].double().numpy(), Sampling(0.7, top_k=3))[0]
    assert probabilities[eos, eos, eos, eos, eos] == pytest.approx(first[eos])
    assert probabilities[eos].sum() == pytest.approx(first[eos])


def test_the_chi_square_test_accepts_true_draws_and_rejects_others():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(64)).reshape(4, 4, 4)
    drawn = generator.choice(64, RUNS, p=probabilities.ravel())
    texts = torch.tensor(np.stack(np.unravel_index(drawn, (4, 4, 4)), -1))
    assert chi_square(texts, probabilities) > 0.01
    assert chi_square(texts.flip(-1), probabilities) < 1e-10
    impossible = probabilities.copy()
    impossible[tuple(texts[0])] = 0
    assert chi_square(texts, impossible / impossible.sum()) == 0
