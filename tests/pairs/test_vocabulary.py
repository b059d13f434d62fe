"""Which ids end a text, and which ids two models of a pair read alike."""

import json

import numpy as np
import pytest
import torch
from folders import CHATML, make_tokenizer, save_model
from tokenizers import AddedToken
from toys import chi_square, reference_warp, tiny_llama, toy_pair
from transformers import GenerationConfig

from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.pairs.loading import load_pair
from adaedl.pairs.vocabulary import Difference, check_same_tokenizer, end_tokens
from adaedl.replay.recorder import record
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


# The end of a text


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
def test_what_the_template_writes_after_an_answer_ends_a_text(tmp_path, template, ends):
    tokenizer = make_tokenizer("byte_level", template)
    assert loaded(tmp_path, tokenizer).eos_ids == ids(tokenizer, *ends)


def test_every_end_that_a_configuration_names_is_one(tmp_path):
    tokenizer = make_tokenizer("byte_level", template=None)
    tokenizer.eos_token = None
    assert loaded(tmp_path, tokenizer, {"eos_token_id": [7, 9]}, eos_token_id=[9, 11]).eos_ids == {7, 9, 11}


@pytest.mark.parametrize("named", [None, [], [None], 10**6, [-1], "7", [True], {"a": 1}])
def test_what_is_no_token_ends_no_text(tmp_path, named):
    tokenizer = make_tokenizer("byte_level", template=None)
    pair = loaded(tmp_path, tokenizer)
    model = tiny_llama(vocab_size=len(tokenizer))
    model.generation_config = GenerationConfig()
    model.generation_config.eos_token_id = named
    assert end_tokens(model, pair.encoder, None) == ids(tokenizer, "</s>")


def test_an_end_of_several_tokens_is_none(tmp_path):
    tokenizer = make_tokenizer("byte_level", CHATML.replace("<|im_end|>", "</end of turn>"))
    assert loaded(tmp_path, tokenizer).eos_ids == ids(tokenizer, "</s>")


def test_the_default_pair_ends_where_it_did(default_pair):
    assert default_pair.eos_ids == {2}


# Tokenizers that differ


def reserved(*names: str):
    return make_tokenizer("byte_level", CHATML, [AddedToken(name, special=True) for name in names])


def test_equal_tokenizers_do_not_differ():
    assert check_same_tokenizer(reserved("<a>"), reserved("<a>")) is None


def test_added_tokens_may_differ_and_the_first_of_them_is_named():
    target, draft = reserved("<a>", "<b>"), reserved("<a>", "<c>", "<d>")
    b = target.convert_tokens_to_ids("<b>")
    found = check_same_tokenizer(target, draft)
    assert found == Difference(frozenset({b, b + 1}), found.first)
    assert found.first == f"token {b} is '<b>' in the target and '<c>' in the draft"
    assert found.sentence == f"the tokenizers differ in 2 tokens, which are never drafted: {found.first}"
    only = check_same_tokenizer(reserved("<a>"), reserved("<a>", "<b>"))
    assert only.first == f"only the draft has token {b}, '<b>'"


@pytest.mark.parametrize(
    ("target_names", "draft_names"), [(["<a>"], ["<b>"]), (["<a>"], []), ([], ["<a>", "<b>"])]
)
def test_a_pair_whose_tokenizers_differ_in_reserved_tokens_runs_and_says_so(
    tmp_path, target_names, draft_names
):
    target, draft = reserved(*target_names), reserved(*draft_names)
    folders = save_model(tmp_path / "target", target), save_model(tmp_path / "draft", draft, seed=1)
    told = []
    pair = load_pair("{}:{}".format(*folders), device="cpu", progress=lambda *what: told.append(what[0]))
    difference = check_same_tokenizer(target, draft)
    assert pair.weights.endswith(difference.sentence)
    assert difference.sentence in told
    shared = set(target.get_vocab().values()) - difference.ids
    assert set(pair.drafter.vocab.tolist()) == shared
    assert pair.target.vocab_size == len(target)
    for sampling in (Sampling(0), Sampling(3.0)):
        prompt_ids = torch.cat(
            (pair.encode("Why?"), torch.tensor(sorted(ids(target, *target_names)), dtype=int))
        )
        rounds = list(decode(pair, prompt_ids, make_stopper("fixed:k=4"), sampling, max_new_tokens=60))
        drafted = {token.id for played in rounds for token in played.drafted}
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
def test_the_target_still_writes_the_tokens_that_are_never_drafted(verification):
    target, draft = tiny_llama(vocab_size=6), tiny_llama(seed=1, vocab_size=6)
    drafter = IndependentDrafter(make_runner(draft), torch.tensor([0, 1, 2, 4]))
    pair = toy_pair(make_runner(target), drafter)
    sampling = Sampling(1.0)
    prompt = torch.tensor([1])
    with torch.inference_mode():
        first = target(prompt[None]).logits[0, -1:].double().numpy()
        texts = torch.cat((prompt.expand(6, 1), torch.arange(6)[:, None]), -1)
        second = target(texts).logits[:, -1].double().numpy()
    expected = reference_warp(first, sampling).T * reference_warp(second, sampling)
    written = []
    for seed in range(3000):
        options = {"max_new_tokens": 3, "seed": seed, "verification": verification, "record": False}
        rounds = decode(pair, prompt, make_stopper("fixed:k=2"), sampling, **options)
        written.append([token for played in rounds for token in played.token_ids][:2])
    assert expected[[3, 5]].sum() > 0.05
    assert chi_square(torch.tensor(written), np.asarray(expected)) > 1e-4


# Rows and tokens


def test_a_tokenizer_with_more_tokens_than_its_model_has_rows_is_refused(tmp_path):
    tokenizer = make_tokenizer("byte_level", CHATML)
    folder = save_model(tmp_path / "model", tokenizer, rows=len(tokenizer) - 1)
    sentence = rf"tokenizer of .* has {len(tokenizer):,} tokens, but its weights have {len(tokenizer) - 1:,};"
    with pytest.raises(UserError, match=sentence):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_the_target_keeps_the_logits_of_the_tokens_that_only_it_has(tmp_path):
    target, draft = reserved("<a>"), reserved()
    folders = save_model(tmp_path / "target", target), save_model(tmp_path / "draft", draft, seed=1)
    alone = load_pair(f"{folders[0]}:{folders[0]}", device="cpu")
    pair = load_pair("{}:{}".format(*folders), device="cpu")
    prompt = pair.encode("Why?")
    logits = [p.target.forward(prompt, p.target.new_cache(32), "last").logits for p in (pair, alone)]
    torch.testing.assert_close(*logits)
    table = pair.drafter.runner.embeddings
    torch.testing.assert_close(table[-1], table[:-1].mean(0))
