"""decode(): rounds, ends of texts and caches, on tiny models with random weights."""

import gc
import random
from types import SimpleNamespace

import pytest
import torch
from toys import graphed, random_world, tiny_llama, tiny_pair, world_pair

from adaedl.decoding import Context, decode, read_prompt
from adaedl.decoding.verification import Uniforms
from adaedl.errors import UserError
from adaedl.models import token_choice
from adaedl.models.cpu import backends
from adaedl.models.cpu import kernels as cpu_kernels
from adaedl.models.cpu.attention import StaticCache
from adaedl.models.cuda.graphs import GraphedCache
from adaedl.models.factory import make_runner
from adaedl.models.token_choice import make_choose, make_read_draft
from adaedl.models.transformers import TransformersCache, TransformersRunner
from adaedl.noise import noise_of
from adaedl.pairs.pair import Pair
from adaedl.request import VERIFICATIONS, Sampling
from adaedl.sampling import acceptance_probability, draft_statistics, residual, warp
from adaedl.stopping import LIVE_STOPPERS, acceptance_lower_bound, make_stopper
from adaedl.trace import Round

PROMPT = torch.tensor([3, 14, 15, 9, 2])
PAIRS = {
    "feature, packed": lambda: tiny_pair("feature"),
    "independent, packed": lambda: tiny_pair("independent"),
    "feature, transformers": lambda: tiny_pair("feature", runner=TransformersRunner),
    "independent, transformers": lambda: tiny_pair("independent", runner=TransformersRunner),
    "feature, graphs": lambda: tiny_pair("feature", runner=graphed),
    "independent, graphs": lambda: tiny_pair("independent", runner=graphed),
    "self, packed": lambda: tiny_pair("self"),
}
every_pair = pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)


def run(pair: Pair, spec: str, temperature: float = 0.8, prompt=PROMPT, **options) -> list[Round]:
    options = {"max_new_tokens": 24, **options}
    return list(decode(pair, prompt, make_stopper(spec), Sampling(temperature), **options))


def text_of(rounds: list[Round]) -> list[int]:
    return [token for round_ in rounds for token in round_.token_ids]


@torch.inference_mode()
def reference_logits(pair: Pair, tokens: list[int]) -> torch.Tensor:
    """Return the target's logits [V] after these tokens, from one forward without a cache."""
    return pair.target.forward(torch.tensor(tokens), pair.target.new_cache(len(tokens)), "last").logits[0]


# One text for all.


@every_pair
@pytest.mark.parametrize("temperature", [0, 0.8])
def test_every_stopper_writes_the_autoregressive_text_under_shared_noise(build, temperature):
    pair = build()
    for seed in (0, 1):
        baseline = text_of(run(pair, "autoregressive", temperature, seed=seed))
        assert len(baseline) == 24
        for spec in (*LIVE_STOPPERS, "fixed:k=1", "adaedl:keep_last=false", "margin:keep_last=false"):
            assert text_of(run(pair, spec, temperature, seed=seed)) == baseline


@every_pair
def test_at_temperature_0_the_text_is_the_targets_argmax_text(build):
    pair = build()
    text = text_of(run(pair, "fixed:k=3", 0))
    for i, token in enumerate(text):
        assert token == reference_logits(pair, PROMPT.tolist() + text[:i]).argmax()


def test_the_seed_determines_the_text():
    pair = tiny_pair("feature")
    for verification in VERIFICATIONS:
        texts = [text_of(run(pair, "adaedl", seed=seed, verification=verification)) for seed in (1, 1, 2)]
        assert texts[0] == texts[1] != texts[2]


def test_a_target_that_drafts_for_itself_accepts_every_draft():
    pair = tiny_pair("self")
    for verification in VERIFICATIONS:
        rounds = run(pair, "fixed:k=4", 0.8, verification=verification, max_new_tokens=25)
        assert [len(r.drafted) for r in rounds] == [4] * 5
        assert all(r.accepted == 4 and r.emitted.kind == "bonus" for r in rounds)


def test_a_stopper_that_needs_a_recording_is_refused():
    with pytest.raises(UserError, match=r"oracle knows what .* only be replayed"):
        run(tiny_pair("feature"), "oracle")


# How rounds end.


def test_fixed_drafts_k_tokens_until_the_text_is_almost_full():
    for spec, reason in (("fixed:k=3", "max_draft"), ("fixed:k=60", "length")):
        rounds = run(tiny_pair("feature"), spec, max_new_tokens=10)
        written = 0
        for round_ in rounds:
            remaining = 10 - written - 1
            k = make_stopper(spec).max_draft
            assert len(round_.drafted) == min(k, remaining)
            assert round_.stop_reason == ("length" if remaining < k else "max_draft")
            written += len(round_.token_ids)
        assert written == 10
        assert rounds[0].stop_reason == reason


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("kind", ["feature", "self"])
def test_a_text_has_exactly_the_requested_length(length, verification, kind):
    for spec in ("autoregressive", "fixed:k=5", "adaedl"):
        rounds = run(tiny_pair(kind), spec, max_new_tokens=length, verification=verification)
        assert len(text_of(rounds)) == length
        assert rounds[-1].emitted is not None


def test_a_score_below_the_threshold_ends_the_draft_and_keeps_the_token():
    rounds = run(tiny_pair("feature"), "adaedl:threshold=0.5,adapt=false")
    assert {"threshold", "length"} >= {r.stop_reason for r in rounds}
    stopped = [r for r in rounds if r.stop_reason == "threshold"]
    assert stopped
    for round_ in stopped:
        *before, last = round_.drafted
        assert last.score < last.threshold == 0.5
        assert all(token.score >= 0.5 for token in before)


def test_dropping_the_token_that_triggered_the_stop_leaves_tokens_above_the_threshold():
    rounds = run(tiny_pair("feature"), "adaedl:threshold=0.5,adapt=false,keep_last=false")
    assert "threshold" in {r.stop_reason for r in rounds}
    assert all(token.score >= 0.5 for r in rounds for token in r.drafted)
    assert any(not r.drafted and r.emitted.kind == "plain" for r in rounds)


def test_the_autoregressive_lane_emits_one_plain_token_per_round():
    rounds = run(tiny_pair("feature"), "autoregressive")
    assert all(r.emitted.kind == "plain" and not r.drafted and r.accepted == 0 for r in rounds)
    assert len(rounds) == 24


def test_a_correction_follows_a_rejection_and_a_bonus_a_full_acceptance():
    rounds = [r for seed in range(5) for r in run(tiny_pair("feature"), "fixed:k=2", seed=seed)]
    kinds = {"correction": 0, "bonus": 0}
    for round_ in rounds:
        if not round_.drafted:
            continue
        assert all(token.accepted == (i < round_.accepted) for i, token in enumerate(round_.drafted))
        assert round_.emitted.kind == ("bonus" if round_.accepted == len(round_.drafted) else "correction")
        kinds[round_.emitted.kind] += 1
    assert min(kinds.values()) > 0


# The end of a text.


@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize("kind", ["feature", "independent", "self"])
def test_nothing_is_written_after_the_end_of_a_text(verification, kind):
    by_draft = by_target = 0
    for seed in range(12):
        pair = tiny_pair(kind, eos_ids=tuple(range(0, 32, 5)))
        rounds = run(pair, "fixed:k=4", seed=seed, verification=verification, max_new_tokens=40)
        text = text_of(rounds)
        assert not set(text[:-1]) & pair.eos_ids
        assert text[-1] in pair.eos_ids or len(text) == 40
        last = rounds[-1]
        for round_ in rounds:  # nothing is drafted after an end
            assert not {token.id for token in round_.drafted[:-1]} & pair.eos_ids
            ends = bool(round_.drafted) and round_.drafted[-1].id in pair.eos_ids
            assert (round_.stop_reason == "eos") is ends
        by_draft += last.emitted is None
        by_target += last.emitted is not None and last.emitted.id in pair.eos_ids
        if last.emitted is None:
            assert last.drafted[last.accepted - 1].id == text[-1]
    assert by_target if kind != "self" else by_draft


def test_an_end_inside_a_draft_leaves_the_autoregressive_text():
    in_a_draft = 0
    for seed in range(12):
        pair = tiny_pair("self", eos_ids=(1, 9, 17, 30))
        baseline = text_of(run(pair, "autoregressive", seed=seed))
        rounds = run(pair, "fixed:k=6", seed=seed)
        assert text_of(rounds) == baseline
        in_a_draft += rounds[-1].emitted is None and rounds[-1].stop_reason == "eos"
    assert in_a_draft


# Prompts.


@every_pair
def test_a_prompt_of_one_token_is_read(build):
    pair = build()
    prompt = torch.tensor([7])
    baseline = text_of(run(pair, "autoregressive", 0, prompt=prompt))
    assert baseline[0] == reference_logits(pair, [7]).argmax()
    assert text_of(run(pair, "fixed:k=3", 0, prompt=prompt)) == baseline


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers():
    pair = tiny_pair("feature")  # reads 128 tokens
    fits = torch.zeros(120, dtype=torch.long)
    assert len(text_of(run(pair, "fixed:k=3", prompt=fits, max_new_tokens=8))) == 8
    with pytest.raises(
        UserError, match=r"has 120 tokens and you requested 9 new ones, but toy reads at most 128"
    ):
        run(pair, "fixed:k=3", prompt=fits, max_new_tokens=9)
    with pytest.raises(UserError, match="has 4000 tokens"):
        run(pair, "autoregressive", prompt=torch.zeros(4000, dtype=torch.long))


def test_the_context_length_is_the_smaller_of_both_models():
    pair = tiny_pair("independent", target=tiny_llama(max_position_embeddings=1000))
    with pytest.raises(UserError, match="at most 128"):
        run(pair, "fixed:k=3", prompt=torch.zeros(200, dtype=torch.long))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": PROMPT[:0]}, "prompt is empty"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"seed": 2**63}, f"seed is {2**63}"),
        ({"verification": "hope"}, "no verification rule 'hope'; choose one of shared_noise, speculative"),
    ],
)
def test_invalid_input_is_refused_with_the_value(options, message):
    with pytest.raises(UserError, match=message):
        run(tiny_pair("feature"), "adaedl", **options)


# Caches.


def assert_caches_hold(pair: Pair, context: Context, text: list[int], read_by_drafter: int) -> None:
    """Check that the target's cache holds the text except for its last token, and that the drafter's cache
    begins with the first `read_by_drafter` tokens, as read from the target."""
    certain = torch.tensor(text[:-1])
    fresh = pair.target.new_cache(len(text))
    layers = pair.drafter.feature_layers
    features = pair.target.forward(certain, fresh, "none", layers).features
    assert context.target_cache.length == len(certain)
    assert_same_content(context.target_cache, fresh, len(certain))
    known = certain[:read_by_drafter]
    again = pair.drafter.start(known, features[:read_by_drafter] if layers else None, len(text))
    assert_same_content(context.session.cache, again.cache, read_by_drafter)


def assert_same_content(cache, fresh, length: int) -> None:
    if isinstance(cache, TransformersCache):
        for layer, other in zip(cache.layers.layers, fresh.layers.layers, strict=True):
            for kept, expected in ((layer.keys, other.keys), (layer.values, other.values)):
                assert (kept[:, :, :length] - expected[:, :, :length]).abs().max() < 1e-4
    elif isinstance(cache, GraphedCache):
        kept, expected = (c.runner.content(c)[:, :, :, :length] for c in (cache, fresh))
        assert (kept - expected).abs().max() < 1e-4
    else:
        assert (cache.data[:, :length] - fresh.data[:, :length]).abs().max() < 1e-4


@every_pair
@pytest.mark.parametrize("verification", VERIFICATIONS)
@pytest.mark.parametrize(
    "spec", ["fixed:k=4", "adaedl:threshold=0.4", "adaedl:threshold=0.3,keep_last=false"]
)
@torch.inference_mode()
def test_after_every_round_the_caches_equal_a_fresh_prefill(build, spec, verification):
    pair = build()
    context = read_prompt(pair, PROMPT, 24)
    text = PROMPT.tolist()
    stopper = make_stopper(spec)
    options = {"max_new_tokens": 24, "verification": verification, "context": context, "seed": 3}
    rejected = 0
    for round_ in decode(pair, None, stopper, Sampling(0.8), **options):
        before = len(text)
        text += round_.token_ids
        if pair.drafter.kind == "feature":
            # Entries from its own output are dropped when the next round begins.
            known = context.session.certain
            assert known == before or not round_.drafted
        else:
            # Accepted drafts stay in the cache; the last draft was never read.
            known = min(context.session.cache.length, before + round_.accepted)
        rejected += len(round_.drafted) - round_.accepted
        assert_caches_hold(pair, context, text, known)
    assert rejected or build is PAIRS["self, packed"]


@every_pair
def test_copies_of_a_context_run_independently(build):
    pair = build()
    context = read_prompt(pair, PROMPT, 24)
    first, second = context.copy(), context.copy()
    expected = text_of(run(pair, "fixed:k=3"))
    runs = [
        decode(pair, None, make_stopper(spec), Sampling(0.8), max_new_tokens=24, context=c)
        for spec, c in (("fixed:k=3", first), ("autoregressive", second), ("adaedl", context))
    ]
    texts = [[], [], []]
    for turn in range(200):  # in turns, as in a race
        round_ = next(runs[turn % 3], None)
        texts[turn % 3] += round_.token_ids if round_ else []
    assert texts == [expected] * 3


def caches_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, StaticCache) for thing in gc.get_objects())


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_cancelling_between_rounds_frees_the_caches_and_does_not_affect_the_next_run(rounds):
    pair = tiny_pair("feature")
    expected = run(pair, "fixed:k=3")
    alive = caches_alive()
    running = decode(pair, PROMPT, make_stopper("fixed:k=3"), Sampling(0.8), max_new_tokens=24)
    cancelled = [next(running) for _ in range(rounds)]
    assert caches_alive() == alive + 2 * bool(rounds)
    running.close()
    assert caches_alive() == alive
    assert text_of(cancelled) == text_of(expected)[: len(text_of(cancelled))]
    assert text_of(run(pair, "fixed:k=3")) == text_of(expected)


# What a round records.


def test_recorded_numbers_match_both_models():
    pair, sampling = tiny_pair("feature"), Sampling(0.8, top_k=20)
    rounds = list(decode(pair, PROMPT, make_stopper("fixed:k=3"), sampling, max_new_tokens=16))
    vocab = pair.drafter.vocab.tolist()
    text = PROMPT.tolist()
    for round_ in rounds:
        context = list(text)
        for token in round_.drafted:
            p = warp(reference_logits(pair, context), sampling)
            assert token.p == pytest.approx(p[token.id].item(), abs=1e-4)
            q = torch.zeros(32)
            for id, _, probability in token.top_q:
                assert id in vocab or id in text
                q[id] = probability
            assert token.q == pytest.approx(q[token.id].item(), abs=1e-4) or q[token.id] == 0
            # top_q has only ten tokens: β is at most their overlap with p plus the rest of q.
            shared = torch.minimum(p, q).sum().item()
            assert shared - 1e-4 <= token.beta <= shared + 1 - q.sum().item() + 1e-4
            assert token.bound == pytest.approx(acceptance_lower_bound(token.entropy))
            assert token.text == f"w{token.id}"
            assert [t[2] for t in token.top_p] == sorted((t[2] for t in token.top_p), reverse=True)
            assert token.u is None
            context.append(token.id)
        text += round_.token_ids
        p = warp(reference_logits(pair, text[:-1]), sampling)
        assert round_.emitted.p == pytest.approx(p[round_.emitted.id].item(), abs=1e-4)


def test_drafts_are_scored_as_sampled_or_at_the_score_temperature():
    world = random_world(0)
    root = world.draft_logits[0]
    cases = [(0.7, "adaedl", 0.7), (0, "adaedl", 1), (0.7, "adaedl:score_temperature=2", 2)]
    for temperature, spec, scored_at in cases:
        rounds = run(world_pair(world), spec, temperature, prompt=torch.tensor([0]), max_new_tokens=5)
        first = rounds[0].drafted[0]
        expected = draft_statistics(warp(root, Sampling(scored_at)))
        assert first.entropy == pytest.approx(expected.entropy.item(), abs=1e-5)
        assert first.top_prob == pytest.approx(expected.top_prob.item(), abs=1e-5)
        assert first.bound == first.score == pytest.approx(acceptance_lower_bound(first.entropy))


def test_with_top_k_1_q_is_scored_at_temperature_1():
    greedy, rounds = (
        list(decode(tiny_pair("feature"), PROMPT, make_stopper("adaedl"), sampling, max_new_tokens=24))
        for sampling in (Sampling(0), Sampling(0.7, top_k=1))
    )
    assert [len(round_.drafted) for round_ in rounds] == [len(round_.drafted) for round_ in greedy]
    assert any(token.bound < 0.9 for round_ in rounds for token in round_.drafted)


def test_the_bound_uses_the_lanes_own_gamma():
    token = run(tiny_pair("feature"), "adaedl:gamma=0.05")[0].drafted[0]
    assert token.bound == pytest.approx(acceptance_lower_bound(token.entropy, 0.05))
    token = run(tiny_pair("feature"), "margin")[0].drafted[0]
    assert token.bound == pytest.approx(acceptance_lower_bound(token.entropy, 0.2))
    assert token.score != token.bound


def test_beta_is_the_overlap_of_p_and_q():
    world, sampling = random_world(1, trimmed=True), Sampling(0.7)
    round_ = run(world_pair(world), "fixed:k=2", 0.7, prompt=torch.tensor([0]), max_new_tokens=5)[0]
    node = 0
    for token in round_.drafted:
        p, q = warp(world.target_logits[node], sampling), warp(world.draft_logits[node], sampling)
        assert token.beta == pytest.approx(acceptance_probability(p, q, world.draft_vocab).item(), abs=1e-5)
        node = world.child(node, token.id)


def test_recorded_uniform_numbers_agree_with_the_speculative_verdicts():
    rounds = run(tiny_pair("feature"), "fixed:k=3", verification="speculative", max_new_tokens=40, seed=5)
    drawn = random.Random(5)
    for round_ in rounds:
        [drawn.random() for _ in round_.drafted]  # the drafts themselves
        for index, token in enumerate(round_.drafted):
            assert token.u == drawn.random()
            if index <= round_.accepted:
                assert token.accepted == (token.u * token.q < token.p)
            assert token.target_id is None
            assert token.target_text is None
        assert round_.emitted.u == drawn.random()


def test_the_residual_of_a_correction_is_recorded():
    world, sampling = random_world(1, trimmed=True), Sampling(0.7)
    corrections = 0
    for seed in range(12):
        round_ = run(
            world_pair(world), "fixed:k=1", 0.7, verification="speculative", seed=seed,
            prompt=torch.tensor([0]), max_new_tokens=2,
        )[0]  # fmt: skip
        if round_.emitted.kind != "correction":
            assert round_.emitted.top_residual == []
            continue
        corrections += 1
        p, q = warp(world.target_logits[0], sampling), warp(world.draft_logits[0], sampling)
        unnormalised = residual(p, q, world.draft_vocab)
        expected = unnormalised / unnormalised.sum()
        recorded = round_.emitted.top_residual
        assert round_.emitted.id in [id for id, _, _ in recorded]
        for id, _, share in recorded:
            assert share == pytest.approx(expected[id].item(), abs=1e-5)
    assert corrections > 0


def test_at_temperature_0_the_top_lists_show_the_models_own_softmax():
    world = random_world(0)
    round_ = run(world_pair(world), "fixed:k=1", 0, prompt=torch.tensor([0]), max_new_tokens=3)[0]
    token, own = round_.drafted[0], Sampling(1.0)
    p, q = warp(world.target_logits[0], own), warp(world.draft_logits[0], own)
    for top, probs in ((token.top_p, p), (token.top_q, q)):
        assert len(top) > 1
        for id, _, share in top:
            assert share == pytest.approx(probs[id].item(), abs=1e-5)
    assert token.q == 1
    assert token.p in (0, 1)
    assert token.beta == token.p


def test_under_shared_noise_the_targets_own_choice_is_recorded():
    for round_ in run(tiny_pair("feature"), "fixed:k=3"):
        for index, token in enumerate(round_.drafted):
            if index < round_.accepted:
                assert token.target_id == token.id
                assert token.target_text == token.text
            elif index == round_.accepted:
                assert token.target_id == round_.emitted.id != token.id


def test_without_recording_the_text_is_the_same():
    pair = tiny_pair("feature")
    full, bare = (run(pair, "adaedl", record=record) for record in (True, False))
    assert text_of(full) == text_of(bare)
    for round_ in bare:
        assert all(t.p is None and t.beta is None and not t.top_q and not t.top_p for t in round_.drafted)
        assert round_.emitted.p is None
    assert full[0].emitted.top_p


@pytest.mark.parametrize("kind", ["feature", "independent"])
@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("spec", ["adaedl", "adaedl:score_temperature=1.3"])
def test_a_draft_kernel_gives_the_same_rounds(kind, temperature, spec):
    calls = []

    def read_draft(logits, noise, vocab, temperature, score_temperature):
        """Return what a GPU's kernel returns, computed by the definitions."""
        calls.append(score_temperature)
        warped = logits / temperature if temperature else logits
        ids = torch.arange(len(logits)) if vocab is None else vocab
        index = (warped if noise is None else warped + noise_of(*noise, ids)).argmax(-1, keepdim=True)
        scored = (logits / score_temperature).softmax(-1)
        q = warped.softmax(-1)[index] if temperature else torch.ones(1)
        own = draft_statistics(scored)
        token_id = index if vocab is None else vocab[index]
        numbers = (token_id[0], own.entropy, own.top_prob, own.margin, scored[index][0], q[0])
        return SimpleNamespace(
            index=index, token_id=token_id, numbers=torch.stack([number.float() for number in numbers])
        )

    pair = tiny_pair(kind)
    by_torch = run(pair, spec, temperature)
    assert not calls
    pair.read_draft = read_draft
    by_kernel = run(pair, spec, temperature)
    expected_temperature = 1.3 if "=" in spec else temperature or 1.0
    assert set(calls) == {expected_temperature}
    assert_same_rounds(by_kernel, by_torch)


def assert_same_rounds(by_kernel, by_torch) -> None:
    assert text_of(by_kernel) == text_of(by_torch)
    for ours, theirs in zip(by_kernel, by_torch, strict=True):
        for token, other in zip(ours.drafted, theirs.drafted, strict=True):
            assert (token.id, token.accepted, token.target_id) == (other.id, other.accepted, other.target_id)
            for name in ("entropy", "bound", "top_prob", "q", "p", "beta"):
                assert getattr(token, name) == pytest.approx(getattr(other, name), abs=1e-5)
            assert [top[0] for top in token.top_q] == [top[0] for top in other.top_q]


def test_kernels_are_used_only_for_untruncated_sampling_with_the_match_rule():
    pair = tiny_pair("independent")
    pair.read_draft = pair.choose = lambda *_: pytest.fail("the kernel was called")
    for sampling in (Sampling(0.8, top_k=5), Sampling(0.8, top_p=0.9)):
        list(decode(pair, PROMPT, make_stopper("adaedl"), sampling, max_new_tokens=8))
    run(pair, "adaedl", verification="speculative", max_new_tokens=8)


@pytest.mark.parametrize("kind", ["feature", "independent"])
@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("spec", ["fixed:k=3", "adaedl", "adaedl:score_temperature=1.3"])
def test_the_cpu_kernels_give_the_same_rounds_as_torch(kind, temperature, spec):
    pair = tiny_pair(kind)
    by_torch = run(pair, spec, temperature)
    pair.read_draft, pair.choose = make_read_draft(pair.device), make_choose(pair.device)
    assert pair.read_draft
    assert pair.choose
    assert_same_rounds(run(pair, spec, temperature), by_torch)


def test_without_kernels_torch_is_used(monkeypatch):
    monkeypatch.setattr(token_choice, "kernels", lambda: None)
    assert make_read_draft(torch.device("cpu")) is None
    assert make_choose(torch.device("cpu")) is None


def test_a_draft_kernel_is_checked_against_torch():
    def off_by(more: float, row: int):
        def kernel(*arguments):
            drawn = cpu_kernels.read_draft(*arguments)
            drawn.numbers[row] += more
            return drawn

        return kernel

    cpu = torch.device("cpu")
    token_choice._check_read_draft(cpu_kernels.read_draft, 5_001, cpu)
    for more, row in ((1, 0), (1e-3, 1), (float("nan"), 5)):
        with pytest.raises(ValueError, match=r"numbers .* off"):
            token_choice._check_read_draft(off_by(more, row), 5_001, cpu)


def test_uniform_numbers_follow_the_seed_and_are_the_same_on_the_device():
    uniforms, expected = Uniforms(3, torch.device("cpu")), random.Random(3)
    for count in (1, 700, 5, 900, 1, 40):
        numbers, on_device = uniforms.take(count)
        assert numbers == on_device.tolist() == [expected.random() for _ in range(count)]


def test_rounds_follow_each_other_without_gaps_on_the_clock():
    clock = 0.0
    for round_ in run(tiny_pair("feature"), "fixed:k=3"):
        assert round_.start_s == clock
        assert round_.draft_s > 0 or not round_.drafted
        assert round_.verify_s > 0
        assert round_.draft_s + round_.verify_s <= round_.duration_s
        clock += round_.duration_s


def test_without_packed_products_the_text_is_the_same(request, monkeypatch):
    packed = text_of(run(tiny_pair("feature"), "fixed:k=3", 0))
    request.getfixturevalue("without_kernels")
    monkeypatch.setattr(backends, "has_packed_linear", lambda: False)
    plain = tiny_pair("feature")
    assert isinstance(plain.target, TransformersRunner)
    assert text_of(run(plain, "fixed:k=3", 0)) == packed
    assert make_runner(tiny_llama()).path == "transformers"
