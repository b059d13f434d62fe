"""Greedy decoding with drafts writes what the model writes without them, token for token."""

import pytest
import torch
from small_pairs import FAMILIES, PROMPT, adaptive, plain, small_pair
from toys import tiny_family
from transformers import LlamaForCausalLM, StaticCache

from adaedl.generation import generate
from adaedl.pairs.reading import load_model
from adaedl.pairs.weights import fetch_weights
from adaedl.stopping import LIVE_STOPPERS, make_stopper


@pytest.fixture(scope="module")
def llama():
    return small_pair("llama")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 2, 3, 60])
def test_every_family_writes_its_own_text(family, length):
    target, draft = small_pair(family)
    written = adaptive(target, draft, max_new_tokens=length)
    assert written.sequences.tolist() == plain(target, max_new_tokens=length)
    assert sum(round_.tokens for round_ in written.rounds) == length
    if length == 60:  # several windows of Gemma 2 and 3, and both accepted and rejected drafts
        accepted = sum(round_.accepted for round_ in written.rounds)
        assert 0 < accepted <= sum(len(round_.drafted) for round_ in written.rounds)


@pytest.mark.parametrize("stopper", LIVE_STOPPERS)
def test_every_stopper_writes_the_same_text(llama, stopper):
    target, draft = llama
    written = adaptive(target, draft, stopper=stopper)
    assert written.sequences.tolist() == plain(target)


def test_a_stopper_object_keeps_what_it_learned(llama):
    target, draft = llama
    stopper = make_stopper("adaedl:threshold=0.4,gamma=0.2")
    adaptive(target, draft, stopper=stopper)
    assert stopper.threshold != 0.4
    rounds = adaptive(target, draft, stopper=stopper, max_new_tokens=5).rounds
    assert rounds[0].threshold[0] not in (0.4, None)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gemma"])
def test_a_static_cache_gives_the_same_text(family):
    target, draft = small_pair(family)
    written = adaptive(target, draft, cache_implementation="static")
    assert written.sequences.tolist() == plain(target)


def test_the_callers_static_cache_ends_with_all_tokens_but_the_last(llama):
    target, draft = llama
    cache = StaticCache(config=target.config, max_cache_len=64)
    written = adaptive(target, draft, past_key_values=cache)
    assert written.sequences.tolist() == plain(target)
    assert int(cache.get_seq_length()) == written.sequences.shape[1] - 1


def test_a_text_ends_with_the_context():
    target, draft = small_pair("llama")
    context = target.config.max_position_embeddings
    prompt = torch.randint(3, 32, (1, context - 4), generator=torch.Generator().manual_seed(0))
    for length in (1, 3, 4):
        written = adaptive(target, draft, prompt, max_new_tokens=length)
        assert written.sequences.tolist() == plain(target, prompt, max_new_tokens=length)


def test_a_position_table_is_never_read_beyond_its_end():
    target = tiny_family("gpt2", max_position_embeddings=24)
    target.generation_config.pad_token_id = 0
    # The text ends where the table does, although the call allows more tokens.
    full = [lambda ids, scores: torch.full((1,), ids.shape[1] == 24)]
    limits = {"max_new_tokens": 60, "eos_token_id": None, "stopping_criteria": full}
    written = adaptive(target, target, stopper="fixed:k=12", **limits)
    assert written.sequences.tolist() == plain(target, **limits)


@pytest.mark.parametrize("ends", [1, 2])
def test_a_text_ends_at_an_end_token_inside_a_draft(llama, ends):
    target, _ = llama
    alone = plain(target)[0][PROMPT.shape[1] :]
    end_tokens = list(dict.fromkeys(alone))[3 : 3 + ends]  # which first appear after some others
    expected = plain(target, eos_token_id=end_tokens)
    written = adaptive(target, target, stopper="fixed:k=12", eos_token_id=end_tokens)  # accepts all it drafts
    assert written.sequences.tolist() == expected
    assert written.rounds[-1].stop_reason == "eos"
    assert written.rounds[-1].tokens == len(written.rounds[-1].drafted)  # nothing follows the end


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_writes_the_requested_length(llama, dtype):
    target, draft = (model.to(dtype) for model in small_pair("llama"))
    written = adaptive(target, draft, output_scores=True, output_logits=True)
    assert written.sequences.shape == (1, PROMPT.shape[1] + 40)
    assert {row.dtype for row in (*written.scores, *written.logits)} == {torch.float32}


def test_left_padding_does_not_change_the_text(llama):
    target, draft = llama
    padded = torch.cat((torch.zeros(1, 3, dtype=torch.long), PROMPT), dim=1)
    mask = (padded > 0).long()
    written = adaptive(target, draft, padded, attention_mask=mask)
    assert written.sequences[:, 3:].tolist() == plain(target)


def test_the_default_target_writes_its_own_text():
    """SmolLM2-135M with the same model's first 20 layers as the draft."""
    target = load_model(
        fetch_weights("HuggingFaceTB/SmolLM2-135M-Instruct").folder, torch.device("cpu"), torch.float32
    )
    config = type(target.config).from_dict(target.config.to_dict() | {"num_hidden_layers": 20})
    with torch.device("meta"):
        draft = LlamaForCausalLM(config).eval()
    weights = {name: weight for name, weight in target.state_dict().items() if name in draft.state_dict()}
    draft.load_state_dict(weights, assign=True)
    draft.model.rotary_emb = target.model.rotary_emb
    prompt = torch.tensor([[504, 3575, 282, 4649, 314]])  # The capital of France is
    greedy = {"max_new_tokens": 24, "do_sample": False}
    written = generate(target, prompt, assistant_model=draft, return_dict_in_generate=True, **greedy)
    assert written.sequences.tolist() == target.generate(prompt, **greedy).tolist()
    assert sum(round_.accepted for round_ in written.rounds) > 0
