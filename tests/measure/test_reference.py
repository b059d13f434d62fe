"""transformers' generation as the reference: its text and its work."""

import pytest
import torch
from toys import tiny_llama, tiny_pair

from adaedl.measure.peers import transformers as reference
from adaedl.measure.work import DecodingWork
from adaedl.models.transformers import TransformersRunner
from adaedl.racing import new_trace, race
from adaedl.request import Sampling

PROMPT = "w1 w2 w3 w4 w1 w2"


@pytest.fixture
def pair():
    return tiny_pair("self", runner=TransformersRunner)


def generate(pair, sampling=Sampling(0), **changes):  # noqa: B008, frozen
    model = reference.target_model(pair)
    settings = {"max_new_tokens": 20, **changes}
    return reference.generate(pair, model, pair.encode(PROMPT), sampling, **settings)


def test_greedy_generate_writes_the_text_of_the_autoregressive_lane(pair):
    trace = new_trace(pair, PROMPT, ["autoregressive"], Sampling(0), max_new_tokens=20)
    for _ in race(pair, trace):
        pass
    token_ids, work = generate(pair)
    assert token_ids == trace.lanes[0].token_ids
    assert (work.tokens, work.rounds, work.drafted, work.accepted) == (19, 19, 0, 0)
    assert 0 < work.forward_s < work.seconds


def test_it_ends_at_an_end_of_sequence_token(pair):
    token_ids, _ = generate(pair)
    ending = tiny_pair("self", runner=TransformersRunner, eos_ids=(token_ids[5],))
    shorter, work = generate(ending)
    assert shorter == token_ids[: token_ids.index(token_ids[5]) + 1]
    assert work.tokens == len(shorter) - 1


def test_it_ends_after_its_maximum_duration(pair):
    token_ids, work = generate(pair, most_s=0.0)
    assert token_ids == generate(pair)[0][:2]
    assert work.tokens == 1
    assert generate(pair, most_s=3600)[0] == generate(pair)[0]


def test_a_target_that_drafts_for_itself_has_every_draft_accepted(pair):
    pair.draft_name = pair.target_name
    model = reference.target_model(pair)
    assistant = reference.draft_model(pair, model)
    token_ids, work = generate(pair, assistant=assistant, drafts=3)
    assert token_ids == generate(pair)[0]
    assert work.drafted == work.accepted == 12
    assert (work.tokens, work.rounds) == (16, 4)


def test_draft_tokens_are_counted_separately():
    pair = tiny_pair("independent", runner=TransformersRunner)
    model = reference.target_model(pair)
    token_ids, work = generate(pair, assistant=reference.draft_model(pair, model), drafts=4)
    assert token_ids == generate(pair)[0]
    assert work.accepted < work.drafted <= 4 * work.rounds
    assert work.tokens == work.accepted + work.rounds


def test_prompt_lookup_writes_the_same_text_and_counts_its_drafts(pair):
    token_ids, work = generate(pair, lookup=3)
    assert token_ids == generate(pair)[0]
    assert work.drafted > 0
    assert work.tokens == work.accepted + work.rounds


def test_sampling_is_repeatable_and_leaves_the_global_generator_alone(pair):
    before = torch.random.get_rng_state()
    first, _ = generate(pair, Sampling(1.0), seed=3)
    again, _ = generate(pair, Sampling(1.0), seed=3)
    other, _ = generate(pair, Sampling(1.0), seed=4)
    assert first == again != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_packed_target_is_loaded_again_as_a_transformers_model(tmp_path):
    pair = tiny_pair("self")
    model = tiny_llama()
    model.save_pretrained(tmp_path)
    pair.tokenizer.save_pretrained(tmp_path)
    pair.target_name = str(tmp_path)
    loaded = reference.target_model(pair)
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_work_adds_up_and_untimed_forwards_stay_untimed():
    total = DecodingWork()
    total.add(DecodingWork(3, 1.5, 1.0, 2, 4, 1))
    total.add(DecodingWork(2, 0.5, 0.25, 2, 1, 0))
    assert total == DecodingWork(5, 2.0, 1.25, 4, 5, 1)
    total.add(DecodingWork(1, 1.0, None, 1, 0, 0))
    assert total == DecodingWork(6, 3.0, None, 5, 5, 1)
