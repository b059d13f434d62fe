"""What `throughput` learns in one call of generate, and the next call with the same models starts from."""

import gc
import weakref

import pytest
import torch
from small_pairs import PROMPT, adaptive, plain, small_pair
from transformers import StoppingCriteria

from adaedl.generation import carry_over
from adaedl.stopping import make_stopper
from adaedl.stopping.throughput import Beliefs


@pytest.fixture
def pair():
    return small_pair("llama")


@pytest.fixture
def served(monkeypatch):
    """What the stoppers of the calls believe at their first round."""
    beliefs = []
    begin_round = type(make_stopper("throughput")).begin_round

    def record(stopper):
        beliefs.append(stopper.beliefs)
        return begin_round(stopper)

    monkeypatch.setattr(type(make_stopper("throughput")), "begin_round", record)

    def first_beliefs(target, draft, **arguments):
        beliefs.clear()
        written = adaptive(target, draft, **{"stopper": "throughput"} | arguments)
        return beliefs[0], written.sequences.tolist()

    return first_beliefs


def test_the_next_call_with_the_same_models_starts_from_what_the_last_one_learned(pair, served):
    target, draft = pair
    first, text = served(target, draft)
    second, again = served(target, draft)
    assert first == Beliefs() != second
    assert text == again == plain(target)


@pytest.mark.parametrize(
    "change",
    [{"do_sample": True}, {"stopper": "throughput:gamma=0.5"}, {"stopper": make_stopper("throughput")}],
)
def test_another_sampling_spec_or_object_starts_afresh(pair, served, change):
    served(*pair)
    assert served(*pair, **change)[0] == Beliefs()


def test_other_models_start_afresh(pair, served):
    target, draft = pair
    served(target, draft)
    assert served(target, target)[0] == Beliefs()
    assert served(draft, draft)[0] == Beliefs()


def test_other_stoppers_start_afresh_in_each_call(pair):
    first, second = (adaptive(*pair, stopper="adaedl").rounds[0].threshold for _ in range(2))
    assert first == second
    assert pair[1] not in carry_over._KEPT


class Failing(StoppingCriteria):
    def __call__(self, input_ids, scores, **_):
        if input_ids.shape[1] > PROMPT.shape[1] + 3:
            raise KeyError("stop")
        return torch.zeros(1, dtype=torch.bool)


def test_a_call_that_fails_keeps_nothing(pair, served):
    served(*pair)
    with pytest.raises(KeyError):
        served(*pair, stopping_criteria=[Failing()])
    assert served(*pair)[0] == Beliefs()


def test_nothing_keeps_the_models_alive(served):
    pair = small_pair("llama")
    served(*pair)
    models = [weakref.ref(model) for model in pair]
    del pair
    gc.collect()
    assert [model() for model in models] == [None, None]
