"""Arguments and outputs of generate behave as in transformers' own decoding."""

import functools
import inspect

import accelerate
import pytest
import torch
from small_pairs import PROMPT, adaptive, disturbed, plain, small_pair
from toys import byte_tokenizer, tiny_llama
from transformers import DynamicCache, GenerationConfig, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

import adaedl
from adaedl.generation import generate

NEW = PROMPT.shape[1]


@pytest.fixture(scope="module")
def pair():
    return small_pair("llama")


class Listener(BaseStreamer):
    def __init__(self):
        self.received, self.ended = [], False

    def put(self, value):
        self.received.append(value.flatten().tolist())

    def end(self):
        self.ended = True


def calls(target, draft, **arguments):
    """Return the ways to call generate, by name."""
    arguments = {"max_new_tokens": 12, "stopper": "fixed:k=3"} | arguments
    stopper = arguments.pop("stopper")
    wrapped = functools.partial(generate, stopper=stopper)
    given = {"assistant_model": draft} | arguments
    return {
        "method": lambda: target.generate(PROMPT, custom_generate=adaedl.generate, stopper=stopper, **given),
        "function": lambda: adaedl.generate(target, PROMPT, stopper=stopper, **given),
        "keywords": lambda: adaedl.generate(model=target, input_ids=PROMPT, stopper=stopper, **given),
        "partial": lambda: target.generate(PROMPT, custom_generate=wrapped, **given),
        "lambda": lambda: target.generate(
            PROMPT, custom_generate=lambda *args, **named: wrapped(*args, **named), **given
        ),
    }


@pytest.mark.parametrize("way", ["method", "function", "keywords", "partial", "lambda"])
def test_every_way_to_call_generate_accepts_the_same_arguments(pair, way):
    target, draft = pair
    listener = Listener()
    written = calls(target, draft, streamer=listener, return_dict_in_generate=True)[way]()
    assert written.sequences.tolist() == plain(target, max_new_tokens=12)
    assert {len(round_.drafted) for round_ in written.rounds} <= {0, 1, 2, 3}
    assert max(len(round_.drafted) for round_ in written.rounds) == 3
    assert listener.received == [
        PROMPT[0].tolist(),
        *([token] for token in written.sequences[0, NEW:].tolist()),
    ]
    assert listener.ended


def test_generate_as_a_models_own_method_does_not_recurse(pair):
    target, draft = small_pair("llama")
    target.generate = functools.partial(
        generate, model=target
    )  # as transformers does for a repository with it
    written = target.generate(input_ids=PROMPT, assistant_model=draft, max_new_tokens=12)
    assert written.tolist() == plain(pair[0], max_new_tokens=12)


def test_signature_is_readable_outside_of_a_call():
    parameters = inspect.signature(generate).parameters
    assert list(parameters)[:2] == ["model", "input_ids"]
    assert parameters["stopper"].default == "adaedl"


def test_rounds_add_up_to_the_text(pair):
    target, draft = pair
    written = adaptive(target, draft, stopper="adaedl:threshold=-1", max_new_tokens=30)
    ids = written.sequences[0, NEW:].tolist()
    for round_ in written.rounds:
        tokens, ids = ids[: round_.tokens], ids[round_.tokens :]
        assert tokens[: round_.accepted] == round_.drafted[: round_.accepted]
        assert round_.tokens in (round_.accepted, round_.accepted + 1)
        assert len(round_.drafted) == len(round_.entropy) == len(round_.bound) == len(round_.score)
        for entropy, bound, score in zip(round_.entropy, round_.bound, round_.score, strict=True):
            assert bound == score == pytest.approx(1 - (0.2 * entropy) ** 0.5)
        assert round_.duration_s >= round_.draft_s + round_.verify_s > 0
    assert ids == []


@pytest.mark.parametrize(("temperature", "scored"), [(0, 1.0), (0.7, 0.7), (0.7, 1.5)])
def test_a_stopper_sees_the_drafts_distribution_after_the_text_so_far(pair, temperature, scored):
    """The draft's cache follows rejections, and the distribution is the one that tokens are drawn from, or
    the one at the stopper's scoring temperature."""
    target, draft = pair
    torch.manual_seed(0)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": None} if temperature else {}
    asked = f"adaedl:threshold=-9,max_draft=4,score_temperature={scored}" if scored == 1.5 else "fixed:k=4"
    written = adaptive(target, draft, stopper=asked, **sampling)
    assert any(0 < round_.accepted < len(round_.drafted) for round_ in written.rounds)
    length = NEW
    for round_ in written.rounds:
        if round_.drafted:
            ids = torch.cat((written.sequences[:, :length], torch.tensor([round_.drafted])), dim=1)
            logits = draft(ids[:, :-1]).logits[0, length - 1 :] / scored
            entropy = torch.distributions.Categorical(logits=logits).entropy()
            torch.testing.assert_close(torch.tensor(round_.entropy), entropy, atol=1e-4, rtol=1e-4)
        length += round_.tokens


@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "temperature": 0.7, "top_k": 5}])
def test_scores_and_logits_belong_to_the_written_tokens(pair, sampling):
    target, draft = pair
    torch.manual_seed(0)
    asked = {"output_scores": True, "output_logits": True, "repetition_penalty": 1.2} | sampling
    written = adaptive(target, draft, max_new_tokens=15, **asked)
    alone = target(written.sequences).logits[0, NEW - 1 : -1]
    assert len(written.scores) == len(written.logits) == 15
    torch.testing.assert_close(torch.cat(written.logits), alone, atol=1e-4, rtol=1e-4)
    if not sampling:
        expected = target.generate(PROMPT, max_new_tokens=15, return_dict_in_generate=True, **asked)
        torch.testing.assert_close(
            torch.cat(written.scores), torch.cat(expected.scores), atol=1e-4, rtol=1e-4
        )


def test_the_next_call_continues_the_cache(pair):
    target, draft = pair
    for cache in (None, DynamicCache(config=target.config)):
        more = {} if cache is None else {"past_key_values": cache}
        first = adaptive(target, draft, max_new_tokens=10, **more)
        kept = getattr(first, "cache", None) or first.past_key_values
        assert cache is None or kept is cache
        assert kept.get_seq_length() == first.sequences.shape[1] - 1
        second = adaptive(target, draft, first.sequences, max_new_tokens=10, past_key_values=kept)
        assert second.sequences.tolist() == plain(target, max_new_tokens=20)


def test_the_next_call_continues_a_cache_with_a_window():
    target, draft = small_pair("gemma3")
    first = adaptive(target, draft, max_new_tokens=20)
    kept = getattr(first, "cache", None) or first.past_key_values
    second = adaptive(target, draft, first.sequences, max_new_tokens=10, past_key_values=kept)
    assert second.sequences.tolist() == plain(target, max_new_tokens=30)
    assert (
        max(layer.keys.shape[-2] for layer in kept.layers if layer.is_sliding) < target.config.sliding_window
    )


class Counting(StoppingCriteria):
    """Ends a text at a length, and records every length that it sees."""

    def __init__(self, end: int):
        self.end, self.seen = end, []

    def __call__(self, input_ids, scores, **_):
        self.seen.append(input_ids.shape[1])
        return torch.full((1,), input_ids.shape[1] >= self.end)


def test_criteria_see_every_token_once_and_can_end_a_text_inside_a_round(pair):
    target, _ = pair
    counting = Counting(NEW + 5)
    written = adaptive(target, target, stopper="fixed:k=12", stopping_criteria=[counting])
    assert counting.seen == list(range(NEW + 1, NEW + 6))
    assert written.sequences.tolist() == plain(target, max_new_tokens=5)
    kept = getattr(written, "cache", None) or written.past_key_values
    assert kept.get_seq_length() == NEW + 4


def test_max_time_of_zero_writes_one_token_as_transformers_does(pair):
    target, draft = pair
    written = adaptive(target, draft, max_time=1e-9)
    assert written.sequences.tolist() == plain(target, max_time=1e-9)
    assert written.sequences.shape[1] == NEW + 1


@pytest.mark.parametrize("way", ["method", "function", "partial"])
def test_stop_strings_end_a_text_inside_a_draft(pair, way):
    target, _ = pair
    tokenizer = byte_tokenizer(bytes(range(65, 65 + target.config.vocab_size)))
    stop = {"stop_strings": [tokenizer.decode(plain(target)[0][NEW + 6])], "tokenizer": tokenizer}
    expected = target.generate(PROMPT, max_new_tokens=40, **stop).tolist()
    assert len(expected[0]) < NEW + 40
    way = calls(target, target, stopper="fixed:k=12", max_new_tokens=40, **stop)[way]
    assert way().tolist() == expected


def test_a_minimum_length_delays_the_end_token(pair):
    target, draft = pair
    end = plain(target)[0][NEW + 2]
    settings = {"eos_token_id": end, "min_new_tokens": 20}
    assert adaptive(target, draft, **settings).sequences.tolist() == plain(target, **settings)


def test_chunked_prompts_and_generation_configs_are_supported(pair):
    target, draft = pair
    config = GenerationConfig(max_new_tokens=20, prefill_chunk_size=3, repetition_penalty=1.5, pad_token_id=0)
    written = generate(target, PROMPT, generation_config=config, assistant_model=draft)
    assert written.tolist() == plain(target, max_new_tokens=20, repetition_penalty=1.5)


@pytest.mark.parametrize("width", [20, 27, 32, 45])
def test_a_draft_model_can_have_a_vocabulary_of_another_padded_size(pair, width):
    target, _ = pair
    draft = disturbed(target)
    draft.resize_token_embeddings(width, mean_resizing=False)
    written = adaptive(target, draft)
    assert written.sequences.tolist() == plain(target)
    sampled = adaptive(target, draft, do_sample=True, max_new_tokens=60, top_k=None)
    assert sampled.sequences.shape[1] == NEW + 60
    assert all(token < 32 for round_ in sampled.rounds for token in round_.drafted)


def test_a_draft_without_any_allowed_token_still_has_a_distribution(pair):
    target, _ = pair
    draft = disturbed(target)
    draft.resize_token_embeddings(20, mean_resizing=False)
    only = {"prefix_allowed_tokens_fn": lambda _, ids: [25, 30, 31]}
    assert adaptive(target, draft, **only).sequences.tolist() == plain(target, **only)
    sampled = adaptive(target, draft, do_sample=True, **only).sequences[0, NEW:].tolist()
    assert set(sampled) == {25, 30, 31}


def test_a_seed_fixes_a_sampled_text(pair):
    target, draft = pair
    texts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        texts.append(adaptive(target, draft, do_sample=True).sequences.tolist())
    assert texts[0] == texts[1] != texts[2]


def test_offloaded_models_run_through_their_hooks(pair):
    target, draft = (accelerate.cpu_offload(model, torch.device("cpu")) for model in small_pair("llama"))
    assert target.device.type == "meta"
    written = adaptive(target, draft, max_new_tokens=10)
    assert written.sequences.tolist() == plain(pair[0], max_new_tokens=10)


def test_without_a_draft_model_the_target_writes_alone(pair):
    target, _ = pair
    written = adaptive(target, None, stopper="autoregressive")
    assert written.sequences.tolist() == plain(target)


def test_a_call_records_no_gradients(pair):
    target, draft = tiny_llama().requires_grad_(True), pair[1]
    written = adaptive(target, draft, output_scores=True, pad_token_id=0, max_new_tokens=4)
    assert not any(row.requires_grad for row in written.scores)
