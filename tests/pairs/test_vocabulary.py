"""The ids that end a text, and the ids that mean the same to both models of a pair."""

import json

import numpy as np
import pytest
import torch
from folders import CHATML, make_tokenizer, save_model
from tokenizers import AddedToken
from toys import TableRunner, chi_square, tiny_llama, toy_pair, world_of_models
from transformers import GenerationConfig

from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.pairs.loading import load_pair
from adaedl.pairs.same_tokenizer import Difference, check_same_tokenizer
from adaedl.pairs.vocabulary import end_tokens
from adaedl.recordings.recorder import record
from adaedl.request import Sampling
from adaedl.stopping import make_stopper

ZEPHYR = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
SPACED = CHATML.replace("<|im_end|>", " <|im_end|>")
SILENT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
USERS_ONLY = (
    "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('users only') }}{% endif %}"
    "{{ m.content }}<|im_end|>{% endfor %}"
)


def ids(tokenizer, *tokens: str) -> set[int]:
    return {tokenizer.convert_tokens_to_ids(token) for token in tokens}


def loaded(tmp_path, tokenizer, generation=None, **config):
    folder = save_model(tmp_path / "model", tokenizer, **config)
    path = folder / "generation_config.json"
    path.unlink(missing_ok=True)
    if generation is not None:
        path.write_text(json.dumps(generation), "utf-8")
    return load_pair(f"{folder}:{folder}", device="cpu")


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (CHATML, ("</s>", "<|im_end|>")),
        (SPACED, ("</s>", "<|im_end|>")),
        (ZEPHYR, ("</s>",)),
        (SILENT, ("</s>",)),
        (USERS_ONLY, ("</s>",)),
        (None, ("</s>",)),
    ],
)
def test_the_template_s_token_after_an_answer_ends_a_text(tmp_path, template, ends):
    tokenizer = make_tokenizer("byte_level", template)
    assert loaded(tmp_path, tokenizer).eos_ids == ids(tokenizer, *ends)


def test_every_configured_end_token_ends_a_text(tmp_path):
    tokenizer = make_tokenizer("byte_level", template=None)
    tokenizer.eos_token = None
    assert loaded(tmp_path, tokenizer, {"eos_token_id": [7, 9]}, eos_token_id=[9, 11]).eos_ids == {7, 9, 11}


@pytest.mark.parametrize("named", [None, [], [None], 10**6, [-1], "7", [True], {"a": 1}])
def test_invalid_end_tokens_are_ignored(tmp_path, named):
    tokenizer = make_tokenizer("byte_level", template=None)
    pair = loaded(tmp_path, tokenizer)
    model = tiny_llama(vocab_size=len(tokenizer))
    model.generation_config = GenerationConfig()
    model.generation_config.eos_token_id = named
    assert end_tokens(model, pair.encoder, None) == ids(tokenizer, "</s>")


def test_an_end_of_several_tokens_is_ignored(tmp_path):
    tokenizer = make_tokenizer("byte_level", CHATML.replace("<|im_end|>", "</end of turn>"))
    assert loaded(tmp_path, tokenizer).eos_ids == ids(tokenizer, "</s>")


def test_the_default_pair_has_one_end_token(default_pair):
    assert default_pair.eos_ids == {2}


def reserved(*names: str):
    return make_tokenizer("byte_level", CHATML, [AddedToken(name, special=True) for name in names])


def test_equal_tokenizers_have_no_difference():
    assert check_same_tokenizer(reserved("<a>"), reserved("<a>")) is None


def test_added_tokens_may_differ_and_the_first_is_named():
    target, draft = reserved("<a>", "<b>"), reserved("<a>", "<c>", "<d>")
    b = target.convert_tokens_to_ids("<b>")
    difference = check_same_tokenizer(target, draft)
    first = difference.first
    assert difference == Difference(frozenset({b, b + 1}), first)
    assert first == f"token {b} is '<b>' in the target and '<c>' in the draft"
    assert difference.sentence == f"the tokenizers differ in 2 tokens, which are never drafted: {first}"
    only = check_same_tokenizer(reserved("<a>"), reserved("<a>", "<b>"))
    assert only.first == f"only the draft has token {b}, '<b>'"


@pytest.mark.parametrize(
    ("target_names", "draft_names"), [(["<a>"], ["<b>"]), (["<a>"], []), ([], ["<a>", "<b>"])]
)
def test_a_pair_with_different_reserved_tokens_runs_and_reports_it(tmp_path, target_names, draft_names):
    target, draft = reserved(*target_names), reserved(*draft_names)
    folders = save_model(tmp_path / "target", target), save_model(tmp_path / "draft", draft, seed=1)
    sentences = []
    pair = load_pair(
        "{}:{}".format(*folders), device="cpu", progress=lambda sentence, _: sentences.append(sentence)
    )
    difference = check_same_tokenizer(target, draft)
    assert pair.weights.endswith(difference.sentence)
    assert difference.sentence in sentences
    shared = set(target.get_vocab().values()) - difference.ids
    assert set(pair.drafter.vocab.tolist()) == shared
    assert pair.target.vocab_size == len(target)
    for sampling in (Sampling(0), Sampling(3.0)):
        prompt_ids = torch.cat(
            (pair.encode("Why?"), torch.tensor(sorted(ids(target, *target_names)), dtype=int))
        )
        rounds = list(decode(pair, prompt_ids, make_stopper("fixed:k=4"), sampling, max_new_tokens=60))
        drafted = {token.id for round_ in rounds for token in round_.drafted}
        assert drafted
        assert drafted <= shared
    recording = record(pair, "Why?", Sampling(2.0), max_new_tokens=20)
    assert {token for chain in recording.chains for token in chain.ids} <= shared


def test_ordinary_tokens_may_not_differ(tmp_path):
    other = make_tokenizer("tiktoken", CHATML)
    with pytest.raises(UserError, match="different tokenizers"):
        check_same_tokenizer(reserved(), other)


@pytest.mark.slow
@pytest.mark.parametrize("verification", ["speculative", "shared_noise"])
def test_the_target_still_writes_tokens_that_are_never_drafted(verification):
    world = world_of_models(tiny_llama(vocab_size=6), tiny_llama(seed=1, vocab_size=6), length=4, prompt=1)
    drafter = IndependentDrafter(TableRunner(world, world.draft_logits), torch.tensor([0, 1, 2, 4]))
    pair = toy_pair(TableRunner(world, world.target_logits), drafter)
    sampling = Sampling(1.0)
    prompt = torch.tensor([1])
    expected = world.text_probabilities(sampling).sum((2, 3))
    written = []
    for seed in range(3000):
        options = {"max_new_tokens": 3, "seed": seed, "verification": verification, "record": False}
        rounds = decode(pair, prompt, make_stopper("fixed:k=2"), sampling, **options)
        written.append([token for round_ in rounds for token in round_.token_ids][:2])
    assert expected[[3, 5]].sum() > 0.05
    assert chi_square(torch.tensor(written), np.asarray(expected)) > 1e-4


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    tokenizer = make_tokenizer("byte_level", CHATML)
    folder = save_model(tmp_path / "model", tokenizer, rows=len(tokenizer) - 1)
    sentence = rf"tokenizer of .* has {len(tokenizer):,} tokens, but its weights have {len(tokenizer) - 1:,};"
    with pytest.raises(UserError, match=sentence):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_the_target_keeps_the_logits_of_its_own_tokens(tmp_path):
    target, draft = reserved("<a>"), reserved()
    folders = save_model(tmp_path / "target", target), save_model(tmp_path / "draft", draft, seed=1)
    alone = load_pair(f"{folders[0]}:{folders[0]}", device="cpu")
    pair = load_pair("{}:{}".format(*folders), device="cpu")
    prompt = pair.encode("Why?")
    logits = [p.target.forward(prompt, p.target.new_cache(32), "last").logits for p in (pair, alone)]
    torch.testing.assert_close(*logits)
    table = pair.drafter.runner.embeddings
    torch.testing.assert_close(table[-1], table[:-1].mean(0))
