"""The default pair with its real weights: every lane writes the target's own text, token for token."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from adaedl.models.cpu.packed import PackedModel
from adaedl.models.shared_noise import SharedNoise
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.reading import load_model
from adaedl.pairs.weights import fetch_weights
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.sampling import warp_logits
from adaedl.trace import Trace

NEW_TOKENS = 32
TIE = 1e-3  # rounding may reverse the order of two tokens with a smaller difference in score

PROMPTS = (
    "What is the capital of Portugal, and what is it known for?",
    "Write a short story about a fox who learns to swim.",
    "Explain in two sentences why the sky is blue.",
    "Write a Python function that reverses a linked list.",
    "List five things to pack for a week in the mountains.",
    "Translate into French: the library opens at nine.",
    "What is 17 times 23? Show your steps.",
    "Give me a recipe for lentil soup.",
    "Rewrite this politely: send me the report now.",
    "Who wrote Don Quixote, and when?",
    "Write a haiku about the first snow.",
    "How does a bicycle stay upright?",
)
# One drafting lane per prompt, in turn, so that each of these runs at every temperature.
DRAFTING = (
    "adaedl",
    "fixed:k=3",
    "max_confidence",
    "svip",
    "margin",
    "heuristic",
    "confidence",
    "bandit",
    "throughput",
    "adaedl:threshold=0.6,keep_last=false",
    "adaedl:score_temperature=1.0",
)


@pytest.fixture(scope="module")
def reference(default_pair):
    """The same weights in transformers."""
    return load_model(fetch_weights(default_pair.target_name).folder, default_pair.device, default_pair.dtype)


@pytest.fixture(scope="module")
def raced(default_pair):
    """Finished races by prompt number and temperature, each run once."""

    @cache
    def finished(number: int, temperature: float) -> Trace:
        default_pair.earlier_texts.experiences.clear()  # whose times on a busy machine can rule out drafts
        lanes = ["autoregressive", DRAFTING[number % len(DRAFTING)]]
        trace = new_trace(
            default_pair,
            PROMPTS[number],
            lanes,
            Sampling(temperature),
            max_new_tokens=NEW_TOKENS,
            seed=number,
        )
        for _ in race(default_pair, trace, record=False):
            pass
        return trace

    return finished


@torch.inference_mode()
def scores_at(pair, reference, trace: Trace, written: list[int]) -> torch.Tensor:
    """Return the scores that transformers would choose from after `written`: warped logits plus the race's
    noise."""
    ids = torch.cat((pair.encode(trace.prompt), torch.tensor(written, dtype=torch.long)))
    logits = reference(ids[None]).logits[0, -1]
    sampling = Sampling(trace.sampling.temperature)
    if sampling.greedy:
        return logits
    noise = SharedNoise(trace.seed, len(logits))
    return warp_logits(logits, sampling) + noise.at(len(written))[0]


def first_difference(pair, reference, trace: Trace, text: list[int], other: list[int]) -> str:
    """Return "none", "tie" if both tokens have the same score to `TIE`, or else the first difference."""
    if text == other:
        return "none"
    index = next((i for i, both in enumerate(zip(text, other, strict=False)) if both[0] != both[1]), None)
    if index is None:
        return f"one has {len(text)} tokens, the other {len(other)}"
    scores = scores_at(pair, reference, trace, text[:index])
    ours, theirs = scores[text[index]].item(), scores[other[index]].item()
    top = scores.max().item()
    if min(ours, theirs) > top - TIE:
        return "tie"
    return f"token {index}: {text[index]} scores {ours:.4f}, {other[index]} {theirs:.4f}, the best {top:.4f}"


class Texts:
    """Tests of every text at a `temperature`. The races of each subclass run in a separate process."""

    temperature: float

    @pytest.mark.parametrize("number", range(len(PROMPTS)))
    def test_every_lane_writes_the_autoregressive_text(self, number, default_pair, reference, raced):
        trace = raced(number, self.temperature)
        baseline, *drafting = trace.lanes
        ended = baseline.token_ids[-1] in default_pair.eos_ids
        assert len(baseline.token_ids) == NEW_TOKENS or ended
        for lane in drafting:
            difference = first_difference(default_pair, reference, trace, baseline.token_ids, lane.token_ids)
            assert difference in ("none", "tie"), f"{lane.label}: {difference}"
            assert sum(len(r.drafted) for r in lane.rounds) > 0

    def test_texts_rarely_part_at_a_tie(self, raced):
        """The test above would pass even if every text parted at a tie."""
        lanes = [lane for n in range(len(PROMPTS)) for lane in raced(n, self.temperature).lanes]
        same = [lane.metrics.same_text for lane in lanes]
        assert same.count(True) >= len(same) - 1
        assert sum(len(lane.token_ids) for lane in lanes) > 0.8 * NEW_TOKENS * len(lanes)

    def test_some_drafts_are_accepted_and_some_are_rejected(self, raced):
        lanes = [lane for n in range(len(PROMPTS)) for lane in raced(n, self.temperature).lanes[1:]]
        drafted = sum(len(r.drafted) for lane in lanes for r in lane.rounds)
        accepted = sum(r.accepted for lane in lanes for r in lane.rounds)
        assert 0.2 < accepted / drafted < 0.98


class TestTextsUnderSharedNoise(Texts):
    temperature = 0.8


class TestTextsAtTemperature0(Texts):
    temperature = 0.0

    @pytest.mark.parametrize("number", range(len(PROMPTS)))
    @torch.inference_mode()
    def test_every_token_is_the_argmax_of_transformers(self, number, default_pair, reference, raced):
        trace = raced(number, 0.0)
        text = torch.tensor(trace.lanes[0].token_ids)
        prompt = default_pair.encode(trace.prompt)
        logits = reference(torch.cat((prompt, text))[None]).logits[0, len(prompt) - 1 : -1]
        behind = logits.max(-1).values - logits.gather(-1, text[:, None]).squeeze(-1)
        assert behind.max() < TIE
        assert (behind > 0).sum() <= 1

    # Only some prompts, because generate is slow.
    @pytest.mark.parametrize("number", range(0, len(PROMPTS), 5))
    def test_the_text_is_the_text_of_generate(self, number, default_pair, reference, raced):
        trace = raced(number, 0.0)
        prompt = default_pair.encode(trace.prompt)[None]
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=sorted(default_pair.eos_ids),
            pad_token_id=min(default_pair.eos_ids),
        )
        with torch.inference_mode():
            ids = reference.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        expected = ids[0, prompt.shape[1] :].tolist()
        difference = first_difference(default_pair, reference, trace, trace.lanes[0].token_ids, expected)
        assert difference in ("none", "tie"), difference


@torch.inference_mode()
def test_logits_and_features_agree_with_transformers(default_pair, reference):
    """Up to rounding, which differs between processors: float32 differs from float64 by about 4e-6 of the
    largest value. A wrong formula or a reduced precision would differ a hundred times more."""
    plain = TransformersRunner(reference)
    ids = default_pair.encode(PROMPTS[1])
    layers = default_pair.drafter.feature_layers
    caches = default_pair.target.new_cache(len(ids) + 16), plain.new_cache(len(ids) + 16)
    for chunk in (ids, ids[:1], ids[3:8], ids[5:7]):
        out, expected = (
            runner.forward(chunk, past, "all", layers)
            for runner, past in zip((default_pair.target, plain), caches, strict=True)
        )
        for ours, theirs in ((out.logits, expected.logits), (out.features, expected.features)):
            assert (ours - theirs).abs().max() < 2e-5 * theirs.abs().max()
        for past in caches:
            past.rewind(past.length - len(chunk) // 2)


def test_the_default_pair_describes_its_parts(default_pair):
    assert default_pair.target.vocab_size == len(default_pair.tokenizer) == 49152
    assert default_pair.drafter.kind == "feature"
    assert len(default_pair.drafter.vocab) == 12_288
    assert "SmolLM2-135M-Instruct" in default_pair.weights
    assert default_pair.token_text(default_pair.tokenizer.eos_token_id) == "<|im_end|>"
    if default_pair.device.type == "cpu" and torch.backends.mkldnn.is_available():
        assert isinstance(default_pair.target, PackedModel)


def test_a_race_of_the_default_pair_can_be_saved_and_opened(default_pair, tmp_path):
    trace = new_trace(
        default_pair, PROMPTS[0], ["autoregressive", "adaedl"], Sampling(0.7), max_new_tokens=12
    )
    for _ in race(default_pair, trace):
        pass
    file = Path(tmp_path / "trace.json")
    file.write_text(trace.to_json(), encoding="utf-8")
    assert Trace.from_json(file.read_bytes()) == trace
    drafted = [d for r in json.loads(file.read_text())["lanes"][1]["rounds"] for d in r["drafted"]]
    assert drafted
    assert all(len(d["top_q"]) == 10 and 0 <= d["beta"] <= 1.001 for d in drafted)
