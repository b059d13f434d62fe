"""Sampling with drafts samples from the model: texts of a tiny world against their exact probabilities.

The exact probabilities come from transformers' own logits processors, applied to the target's logits after
each prefix. Seeds are fixed. With another seed a correct program would fail each of these tests with a
probability of 1e-4, and each sample is large enough to reject the distribution without processors.
"""

from itertools import product

import numpy as np
import pytest
import torch
from small_pairs import disturbed
from torch import Tensor
from toys import chi_square, random_world, tiny_llama
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    PrefixConstrainedLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    StoppingCriteriaList,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from transformers.generation.stopping_criteria import MaxLengthCriteria

from adaedl.generation import generate
from adaedl.generation.loop import Call, write
from adaedl.stopping import make_stopper

WORLD = random_world(3, vocab_size=5, length=3)
PROMPT = torch.tensor([[1, 3]])
RUNS = 500
PROCESSORS = {
    "temperature": [TemperatureLogitsWarper(0.6)],
    "top-k": [TopKLogitsWarper(2)],
    "top-p": [TopPLogitsWarper(0.7)],
    "min-p": [MinPLogitsWarper(0.3)],
    "typical": [TypicalLogitsWarper(0.5)],
    "epsilon": [EpsilonLogitsWarper(0.15)],
    "eta": [EtaLogitsWarper(0.3)],
    "repetition penalty": [RepetitionPenaltyLogitsProcessor(3.0)],
    "no repeated pairs": [NoRepeatNGramLogitsProcessor(2)],
    "bad words": [NoBadWordsLogitsProcessor([[0], [2, 4]])],
    "suppressed tokens": [SuppressTokensLogitsProcessor([1])],
    "sequence bias": [SequenceBiasLogitsProcessor([[[0, 1], 3.0], [[2], -2.0]])],
    "allowed tokens": [PrefixConstrainedLogitsProcessor(lambda _, ids: [0, 1, 2 + len(ids) % 3], 1)],
    "several": [
        RepetitionPenaltyLogitsProcessor(1.5),
        TemperatureLogitsWarper(1.4),
        TopKLogitsWarper(4),
        TopPLogitsWarper(0.9),
    ],
}


class TableReader:
    """Reads as `adaedl.generation.reader.Reader` does, from the tables of a world."""

    context = 100
    vocabulary = WORLD.vocab_size
    home = torch.device("cpu")

    def __init__(self, logits: Tensor):
        self.logits, self.ids, self.length = logits, [], 0

    def read(self, ids: Tensor, keep: int = 1) -> Tensor:
        self.ids += ids[0].tolist()
        self.length = len(self.ids)
        ends = range(self.length - keep + 1, self.length + 1)
        return torch.stack([self.logits[node_of(self.ids[:end])] for end in ends])

    def prefill(self, ids: Tensor, chunk: int | None = None) -> None:
        self.ids += ids[0].tolist()
        self.length = len(self.ids)

    def rewind(self, length: int) -> None:
        self.ids, self.length = self.ids[:length], length

    def record_past(self, on: bool) -> None:
        pass


def node_of(ids: list[int]) -> int:
    node = 0
    for token in ids[PROMPT.shape[1] :]:
        node = WORLD.child(node, token)
    return node


def exact(processors: LogitsProcessorList) -> np.ndarray:
    """Return the probability of every text, one axis for each token."""
    probabilities = np.zeros((WORLD.vocab_size,) * WORLD.length)
    for text in product(range(WORLD.vocab_size), repeat=WORLD.length):
        ids, probability = PROMPT[0].tolist(), 1.0
        for token in text:
            scores = processors(torch.tensor([ids]), WORLD.target_logits[node_of(ids)][None].clone())
            probability *= scores.double().softmax(-1)[0, token].item()
            ids.append(token)
        probabilities[text] = probability
    return probabilities


def sample(processors: LogitsProcessorList, spec: str, runs: int = RUNS) -> Tensor:
    """Return the texts [runs, length] of several calls."""
    length = PROMPT.shape[1] + WORLD.length
    config = GenerationConfig(do_sample=True, max_length=length)
    call = Call(processors, StoppingCriteriaList([MaxLengthCriteria(length)]), config)
    torch.manual_seed(0)
    stopper = make_stopper(spec)  # one for all calls: what it learns must not matter
    texts = [
        write(call, PROMPT, TableReader(WORLD.target_logits), TableReader(WORLD.draft_logits), stopper).ids
        for _ in range(runs)
    ]
    return torch.cat(texts)[:, PROMPT.shape[1] :]


@pytest.mark.parametrize("name", PROCESSORS)
def test_texts_have_the_targets_distribution_under_a_processor(name):
    processors = LogitsProcessorList(PROCESSORS[name])
    texts = sample(processors, "adaedl:threshold=0.3")
    assert chi_square(texts, exact(processors)) > 1e-4
    assert (
        chi_square(texts, exact(LogitsProcessorList())) < 1e-6
    )  # so the sample can tell whether the processor was applied


@pytest.mark.parametrize("spec", ["fixed:k=2", "adaedl:keep_last=false", "throughput", "bandit"])
def test_texts_have_the_targets_distribution_under_a_stopper(spec):
    processors = LogitsProcessorList()
    assert chi_square(sample(processors, spec), exact(processors)) > 1e-4


def test_generate_samples_from_the_model_with_all_settings_of_a_call():
    """The same through transformers, with the processors that it builds."""
    target = tiny_llama(2, 6, num_hidden_layers=1)
    draft = disturbed(target, 0.3)
    settings = {"temperature": 1.2, "top_k": 5, "repetition_penalty": 1.3, "bad_words_ids": [[4]]}
    sampling = {"do_sample": True, "max_new_tokens": 2, "eos_token_id": 5, "pad_token_id": 5} | settings
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.3),
            NoBadWordsLogitsProcessor([[4]]),
            TemperatureLogitsWarper(1.2),
            TopKLogitsWarper(5),
        ]
    )
    probabilities = np.zeros((6, 6))
    first = processors(PROMPT, target(PROMPT).logits[:, -1].clone()).softmax(-1)[0]
    for token in range(6):
        ids = torch.cat((PROMPT, torch.tensor([[token]])), dim=1)
        second = processors(ids, target(ids).logits[:, -1].clone()).softmax(-1)[0].double().numpy()
        probabilities[token] = first[token].item() * (np.eye(6)[5] if token == 5 else second)
    torch.manual_seed(1)
    texts = []
    for _ in range(400):
        text = generate(target, PROMPT, assistant_model=draft, stopper="fixed:k=2", **sampling)[0, 2:]
        texts.append(torch.nn.functional.pad(text, (0, 2 - len(text)), value=5))
    assert chi_square(torch.stack(texts), probabilities) > 1e-4
