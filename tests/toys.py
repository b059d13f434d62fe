"""Toy worlds: language models small enough for exact results.

A `World` is a target and a draft over a few tokens, as tables of logits for every context up to a length, so
that the exact distribution of its texts is known. `play` writes tens of thousands of texts of a world in
lockstep, through the functions of `adaedl/sampling.py` and real stoppers; `world_pair` builds a `Pair` from
the same tables, for `decode()` itself. `tiny_*` build transformers models with random weights.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from adaedl.models.cpu.int8_linear import quantize_model
from adaedl.models.cuda.graphs import GraphedLlama
from adaedl.models.drafters.feature import FeatureDrafter
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.drafters.net import DrafterConfig, DrafterNet
from adaedl.models.factory import make_runner
from adaedl.models.protocol import Output
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.sampling import (
    choose_with_noise,
    draft_statistics,
    draw,
    verify_by_match,
    verify_speculative,
    warp,
)
from adaedl.stopping import DraftStep, Stopper, make_stopper

# Worlds: every context is a node of a tree. The root 0 is the prompt; token t leads from node n to
# node V·n + 1 + t, so that the nodes of texts with the same length are contiguous, in the order of the texts.


@dataclass
class World:
    """Logits of a target [nodes, V] and a draft [nodes, Vq] after every text of fewer than `length` tokens.
    `draft_vocab` [Vq] holds the target's ids of the draft's tokens, or is None if they are the same."""

    length: int
    target_logits: Tensor
    draft_logits: Tensor
    draft_vocab: Tensor | None = None
    eos_id: int | None = None

    @property
    def vocab_size(self) -> int:
        return self.target_logits.shape[1]

    def child(self, node, token):
        return self.vocab_size * node + 1 + token

    def first_node(self, length: int) -> int:
        """Return the first of the nodes with texts of `length` tokens."""
        return (self.vocab_size**length - 1) // (self.vocab_size - 1)

    def text_probabilities(self, sampling: Sampling) -> np.ndarray:
        """Return the target's exact probability of every text, with one axis per token. After the
        end-of-sequence token a text repeats it. Computed in float64, independently of adaedl.sampling."""
        probabilities = np.ones(1)
        ended = np.zeros(1, dtype=bool)
        for length in range(self.length):
            first = self.first_node(length)
            logits = self.target_logits[first : first + self.vocab_size**length].double().numpy()
            rows = reference_warp(logits, sampling)
            if self.eos_id is not None:
                rows[ended] = np.eye(self.vocab_size)[self.eos_id]
            is_eos = np.arange(self.vocab_size) == self.eos_id
            probabilities = (probabilities[:, None] * rows).ravel()
            ended = (ended[:, None] | is_eos).ravel()
        return probabilities.reshape((self.vocab_size,) * self.length)


def reference_warp(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return what `adaedl.sampling.warp` should return for logits [rows, V], computed token by token."""
    warped = np.zeros_like(logits, dtype=float)
    for row, values in zip(warped, logits, strict=True):
        order = sorted(range(len(values)), key=lambda token: -values[token])
        if sampling.temperature == 0:
            row[order[0]] = 1
            continue
        weight = {t: math.exp((values[t] - values[order[0]]) / sampling.temperature) for t in order}
        kept = order
        if sampling.top_k > 0:
            kept = kept[: sampling.top_k]
        total, before, nucleus = sum(weight[t] for t in kept), 0.0, []
        for token in kept:
            if before < sampling.top_p:
                nucleus.append(token)
            before += weight[token] / total
        total = sum(weight[t] for t in nucleus)
        for token in nucleus:
            row[token] = weight[token] / total
    return warped


def random_world(
    seed: int, vocab_size: int = 4, length: int = 5, trimmed: bool = False, eos: bool = False
) -> World:
    """Return a world with random tables; the draft is a flattened and perturbed target. A trimmed draft lacks
    one token and has the others in another order."""
    generator = torch.Generator().manual_seed(seed)
    nodes = (vocab_size**length - 1) // (vocab_size - 1)
    target = 1.5 * torch.randn(nodes, vocab_size, generator=generator)
    draft = 0.7 * target + 0.9 * torch.randn(nodes, vocab_size, generator=generator)
    vocab = None
    if trimmed:
        vocab = torch.randperm(vocab_size, generator=generator)[: vocab_size - 1]
        draft = draft[:, vocab]
    return World(length, target, draft, vocab, eos_id=vocab_size - 1 if eos else None)


def world_of_models(target, draft, length: int, prompt: int = 0) -> World:
    """Return the world of two transformers models after a one-token prompt."""
    vocab_size = target.config.vocab_size
    texts = torch.cartesian_prod(*[torch.arange(vocab_size)] * (length - 1))
    texts = torch.cat((torch.full_like(texts[:, :1], prompt), texts), -1)

    @torch.inference_mode()
    def table(model) -> Tensor:
        logits = model(texts).logits  # [texts, length, V]
        levels = [logits[:: vocab_size ** (length - 1 - n), n] for n in range(length)]
        return torch.cat(levels).float().clone()

    return World(length, table(target), table(draft))


# Lockstep: decode()'s loop for many texts at once.


@dataclass
class Randomness:
    """The random numbers of many runs: under speculative sampling uniforms [runs, n], consumed in decode()'s
    order; under shared noise Gumbel noise [runs, length, V]."""

    uniforms: Tensor | None = None
    noise: Tensor | None = None

    @classmethod
    def seeded(cls, seed: int, verification: str, runs: int, world: World) -> "Randomness":
        generator = torch.Generator().manual_seed(seed)
        if verification == "speculative":
            most = 2 * sum(range(1, world.length + 2))
            return cls(uniforms=torch.rand(runs, most, generator=generator, dtype=torch.float64))
        shape = (runs, world.length, world.vocab_size)
        uniforms = torch.rand(shape, generator=generator, dtype=torch.float64).clamp_(min=1e-300)
        return cls(noise=-torch.log(-torch.log(uniforms)).float())


class Played(NamedTuple):
    """Texts [runs, length], padded with the end-of-sequence token, and the numbers of drafted and of accepted
    tokens [runs, rounds], −1 after the end of a run."""

    texts: Tensor
    drafted: Tensor
    accepted: Tensor


class Resting(Stopper):
    """Drafts two tokens in every second round, and none in the other rounds."""

    name = "resting"
    max_draft = 2

    def __init__(self):
        super().__init__()
        self.drafts = False

    def begin_round(self) -> bool:
        self.drafts = not self.drafts
        return self.drafts


def observe_round(stopper: Stopper, drafted: int, accepted: int, dropped: int = 0) -> None:
    """Report a round to a stopper in toy time: the target takes 1 s, and each verified draft 0.1 s more."""
    stopper.observe(drafted, accepted, dropped)
    stopper.observe_times(accepted + 1, 1.0, 1.0 + drafted / 10)


def on_toy_time(stopper: Stopper) -> Stopper:
    """Return a stopper to which rounds are reported in toy time, whatever they took."""
    own = SimpleNamespace(observe=stopper.observe, observe_times=stopper.observe_times)
    stopper.observe = lambda *counts: observe_round(own, *counts)
    stopper.observe_times = lambda *_: None
    return stopper


@dataclass
class _StopperStates:
    """One stopper for all runs with the same past: a state is the sequence of calls so far, in toy time."""

    stoppers: list[Stopper]
    after: dict[tuple, int] = field(default_factory=dict)
    answers: dict[int, bool] = field(default_factory=dict)  # the last answer, by state

    def _advance(self, state: int, event: tuple, call: Callable[[Stopper], bool | None]) -> int:
        key = (state, *event)
        if key not in self.after:
            stopper = copy.copy(self.stoppers[state])
            self.after[key] = len(self.stoppers)
            self.answers[self.after[key]] = bool(call(stopper))
            self.stoppers.append(stopper)
        return self.after[key]

    def begin_round(self, state: int) -> int:
        return self._advance(state, ("begin",), lambda stopper: stopper.begin_round())

    def should_stop(self, state: int, node: int, token: int, step: DraftStep) -> int:
        return self._advance(state, (node, token), lambda stopper: stopper.should_stop(step))

    def observe(self, state: int, *counts: int) -> int:
        return self._advance(state, ("observe", *counts), lambda stopper: observe_round(stopper, *counts))


def _for_each(columns: tuple[Tensor, ...], function: Callable) -> Tensor:
    """Return function(*row) for every row of the integer columns [runs], called once per distinct row."""
    shape = [int(column.max()) + 1 for column in columns]
    packed = np.ravel_multi_index([column.numpy() for column in columns], shape)
    distinct, inverse = np.unique(packed, return_inverse=True)
    rows = zip(*(values.tolist() for values in np.unravel_index(distinct, shape)), strict=True)
    return torch.tensor([function(*row) for row in rows])[torch.from_numpy(inverse)]


class _Drafts(NamedTuple):
    """A draft phase of all runs: the numbers [runs] of drafts to verify and of dropped ones, the tokens
    [runs, length] as indices in the draft's vocabulary, and the nodes [runs, length + 1] before each."""

    count: Tensor
    dropped: Tensor
    tokens: Tensor
    path: Tensor


class _Lockstep:
    """The state of many runs, with one entry per run in each tensor."""

    def __init__(
        self,
        world: World,
        stopper: Stopper,
        sampling: Sampling,
        verification: str,
        randomness: Randomness,
        verify: Callable,
    ):
        self.world, self.stopper, self.sampling = world, stopper, sampling
        self.randomness, self.verify = randomness, verify
        self.matching = sampling.greedy or verification == "shared_noise"
        self.vocab = torch.arange(world.vocab_size) if world.draft_vocab is None else world.draft_vocab
        self.p_table, self.q_table = warp(world.target_logits, sampling), warp(world.draft_logits, sampling)
        self.scored = self.q_table
        if stopper.score_temperature or sampling.greedy:
            self.scored = warp(world.draft_logits, Sampling(stopper.score_temperature or 1.0))
        statistics = draft_statistics(self.scored)
        columns = (statistics.entropy.clamp(min=0), statistics.top_prob, statistics.margin)
        self.entropy, self.top_prob, self.margin = (values.tolist() for values in columns)
        self.token_prob = self.scored.tolist()
        runs = len(randomness.noise if randomness.uniforms is None else randomness.uniforms)
        self.texts = torch.full((runs, world.length), -1 if world.eos_id is None else world.eos_id)
        self.node, self.written, self.used, self.state = (
            torch.zeros(runs, dtype=torch.long) for _ in range(4)
        )
        self.ended = torch.zeros(runs, dtype=torch.bool)
        self.states = _StopperStates([stopper])

    def play_round(self) -> tuple[Tensor, Tensor]:
        """Play a round of every run that has not ended; return the numbers [runs] of drafted and of accepted
        tokens, −1 for runs that had ended."""
        running = ~self.ended
        active = running.nonzero().squeeze(-1)
        drafts = self._draft(active)
        accepted = self._verify(active, drafts)
        observed = (column[active] for column in (self.state, drafts.count, accepted, drafts.dropped))
        self.state[active] = _for_each(tuple(observed), self.states.observe)
        return drafts.count.where(running, -1), accepted.where(running, -1)

    def _draft(self, active: Tensor) -> _Drafts:
        runs, length = self.texts.shape
        count, dropped = (torch.zeros(runs, dtype=torch.long) for _ in range(2))
        tokens = torch.zeros(runs, length, dtype=torch.long)
        path = torch.zeros(runs, length + 1, dtype=torch.long)
        path[:, 0] = self.node
        limit = (length - self.written - 1).clamp(max=self.stopper.max_draft)
        self.state[active] = _for_each((self.state[active],), self.states.begin_round)
        willing = _for_each((self.state[active],), self.states.answers.__getitem__)
        drafting, index = active[(limit[active] > 0) & willing], 0
        while len(drafting):
            here = path[drafting, index]
            token = self._choose_draft(drafting, here, index)
            stop = self._judge(drafting, here, token, index + 1)
            keep = ~stop | self.stopper.keep_last
            tokens[drafting, index] = token
            count[drafting] += keep.long()
            dropped[drafting] += (~keep).long()
            target_token = self.vocab[token]
            path[drafting, index + 1] = self.world.child(here, target_token)
            goes_on = ~stop & (target_token != self.world.eos_id) & (count[drafting] < limit[drafting])
            drafting, index = drafting[goes_on], index + 1
        return _Drafts(count, dropped, tokens, path)

    def _choose_draft(self, rows: Tensor, nodes: Tensor, index: int) -> Tensor:
        if not self.matching:
            return draw(self.q_table[nodes], self._uniforms(rows, 1)[:, 0])
        gumbel = self._noise(rows, index, 1)
        gumbel = None if gumbel is None else gumbel[:, 0, self.vocab]
        return choose_with_noise(self.world.draft_logits[nodes], gumbel, self.sampling)

    def _judge(self, rows: Tensor, nodes: Tensor, tokens: Tensor, position: int) -> Tensor:
        """Show drafted tokens to the stopper; return whether it stops."""

        def judge(state: int, node: int, token: int) -> int:
            numbers = (self.entropy[node], self.top_prob[node], self.margin[node])
            step = DraftStep(*numbers, self.token_prob[node][token], position)
            return self.states.should_stop(state, node, token, step)

        self.state[rows] = _for_each((self.state[rows], nodes, tokens), judge)
        return _for_each((self.state[rows],), self.states.answers.__getitem__)

    def _verify(self, active: Tensor, drafts: _Drafts) -> Tensor:
        """Verify all drafts and write the tokens of the round; return the numbers [runs] of accepted
        drafts."""
        accepted = torch.zeros_like(drafts.count)
        for count in drafts.count[active].unique().tolist():
            rows = active[drafts.count[active] == count]
            contexts, tokens = drafts.path[rows, : count + 1], drafts.tokens[rows, :count]
            if self.matching:
                noise = self._noise(rows, 0, count + 1)
                choices = choose_with_noise(self.world.target_logits[contexts], noise, self.sampling)
                accepted[rows], emitted = verify_by_match(choices, self.vocab[tokens])
            else:
                p, q = self.p_table[contexts], self.q_table[contexts[:, :-1]]
                numbers = self._uniforms(rows, count + 1)
                accepted[rows], emitted = self.verify(p, q, tokens, numbers, self.world.draft_vocab)
            for kept in accepted[rows].unique().tolist():
                chosen = accepted[rows] == kept
                self._write(rows[chosen], self.vocab[tokens[chosen, :kept]], emitted[chosen], drafts.path)
        return accepted

    def _write(self, rows: Tensor, kept: Tensor, emitted: Tensor, path: Tensor) -> None:
        """Write accepted tokens [rows, n] and the emitted token [rows] of some runs."""
        world, count = self.world, kept.shape[1]
        certain = torch.cat((kept, emitted[:, None]), -1)
        if count:  # no bonus token is written after an accepted end of the text
            certain[kept[:, -1] == world.eos_id, -1] = -1 if world.eos_id is None else world.eos_id
        self.texts[rows[:, None], self.written[rows, None] + torch.arange(count + 1)] = certain
        self.node[rows] = world.child(path[rows, count], certain[:, -1])
        self.written[rows] += count + 1
        self.ended[rows] = (certain[:, -1] == world.eos_id) | (self.written[rows] == world.length)

    def _uniforms(self, rows: Tensor, count: int) -> Tensor:
        taken = self.randomness.uniforms[rows[:, None], self.used[rows, None] + torch.arange(count)]
        self.used[rows] += count
        return taken

    def _noise(self, rows: Tensor, offset: int, count: int) -> Tensor | None:
        if self.randomness.noise is None:
            return None
        positions = self.written[rows, None] + offset + torch.arange(count)
        return self.randomness.noise[rows[:, None], positions]


@torch.inference_mode()
def play(
    world: World,
    stopper: Stopper | str,
    sampling: Sampling,
    verification: str,
    randomness: Randomness,
    verify: Callable = verify_speculative,
) -> Played:
    """Write `world.length` tokens in all runs at once. `verify` may be a broken rule."""
    stopper = make_stopper(stopper) if isinstance(stopper, str) else stopper
    lockstep = _Lockstep(world, stopper, sampling, verification, randomness, verify)
    rounds = []
    while not lockstep.ended.all():
        rounds.append(lockstep.play_round())
    return Played(lockstep.texts, *(torch.stack(column, -1) for column in zip(*rounds, strict=True)))


def differing(actual: dict, expected: dict, rel: float = 1e-9, absolute: float = 1e-12) -> dict[str, tuple]:
    """Return the entries in which two flat dictionaries differ; numbers may differ by `rel` or `absolute`."""

    def same(a, b) -> bool:
        if any(value is None or isinstance(value, (str, bool)) for value in (a, b)):
            return a == b
        return math.isclose(a, b, rel_tol=rel, abs_tol=absolute)

    names = sorted(actual.keys() | expected.keys())
    return {n: (actual.get(n), expected.get(n)) for n in names if not same(actual.get(n), expected.get(n))}


def chi_square(texts: Tensor, probabilities: np.ndarray) -> float:
    """Return the p-value of Pearson's test that texts [runs, n] are drawn from probabilities [V]·n. Cells
    with an expected count below 5 are merged; the p-value is 0 if a text with probability 0 was written."""
    runs = len(texts)
    observed = np.zeros_like(probabilities)
    np.add.at(observed, tuple(texts.T.numpy()), 1)
    observed, expected = observed.ravel(), runs * probabilities.ravel()
    if observed[expected == 0].any():
        return 0.0
    rare = expected < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5:  # still too few: merge them with the rarest other cell
        rarest = expected[:-1].argmin()
        observed[rarest] += observed[-1]
        expected[rarest] += expected[-1]
        observed, expected = observed[:-1], expected[:-1]
    if len(expected) == 1:
        return 1.0 if observed[0] == runs else 0.0
    return float(stats.chisquare(observed, expected * (runs / expected.sum())).pvalue)


# The same tables behind the engine's protocols.


class TableCache:
    """The nodes on the path through a table."""

    def __init__(self, nodes: list[int] | None = None):
        self.nodes = nodes or []

    @property
    def length(self) -> int:
        return len(self.nodes)

    def rewind(self, length: int) -> None:
        del self.nodes[length:]

    def copy(self) -> "TableCache":
        return TableCache(list(self.nodes))


class TableRunner:
    """A table as a model. The prompt is any one token; the feature of a position is its node."""

    hidden_size = 1
    device = torch.device("cpu")
    dtype = torch.float32
    path = "table"

    def __init__(self, world: World, table: Tensor):
        self.world, self.table = world, table
        self.vocab_size = table.shape[1]
        self.max_context = world.length + 1

    def new_cache(self, capacity: int) -> TableCache:
        return TableCache()

    def forward(self, token_ids, cache, logits="all", feature_layers=()) -> Output:
        before = cache.length
        for token in token_ids.tolist():
            cache.nodes.append(self.world.child(cache.nodes[-1], token) if cache.nodes else 0)
        nodes = cache.nodes[before:] if logits == "all" else cache.nodes[-1:]
        features = torch.tensor(cache.nodes[before:]).float()[:, None] if feature_layers else None
        return Output(self.table[nodes], features)


class TableFeatureDrafter:
    """A table that checks that it receives the target's features of the right positions."""

    kind = "feature"
    feature_layers = (0,)
    path = "table"

    def __init__(self, world: World):
        self.world = world
        self.vocab = world.draft_vocab
        self.max_context = world.length + 1

    def start(self, prompt_ids: Tensor, features: Tensor, capacity: int) -> "TableFeatureSession":
        assert len(prompt_ids) == len(features) == 0
        return TableFeatureSession(self.world)


class TableFeatureSession:
    def __init__(self, world: World):
        self.world = world
        self.vocab = world.draft_vocab
        self.certain: int | None = None  # node of the certain text; None before the prompt's last token
        self.drafted: int = 0

    def begin(self, token_ids: Tensor, features: Tensor) -> Tensor:
        for token, feature in zip(token_ids.tolist(), features[:, 0].tolist(), strict=True):
            assert feature == (self.certain or 0), "the feature is not of the position before the token"
            self.certain = 0 if self.certain is None else self.world.child(self.certain, token)
        self.drafted = self.certain
        return self.world.draft_logits[self.drafted]

    def extend(self, token_id: Tensor) -> Tensor:
        self.drafted = self.world.child(self.drafted, int(token_id))
        return self.world.draft_logits[self.drafted]

    def rewind(self, accepted: int) -> None:
        self.drafted = self.certain

    def copy(self) -> "TableFeatureSession":
        return copy.copy(self)


def world_pair(world: World, kind: str = "feature") -> Pair:
    """Return a pair with a world's tables; the `kind` of drafter is "feature" or "independent" (full
    vocabulary only)."""
    target = TableRunner(world, world.target_logits)
    if kind == "feature":
        drafter = TableFeatureDrafter(world)
    else:
        drafter = IndependentDrafter(TableRunner(world, world.draft_logits))
        drafter.vocab = world.draft_vocab
    return toy_pair(target, drafter, eos_ids=() if world.eos_id is None else (world.eos_id,))


# Models of transformers with random weights.


def tiny_llama(seed: int = 0, vocab_size: int = 32, **changes) -> LlamaForCausalLM:
    return _tiny(
        LlamaForCausalLM, LlamaConfig, seed, vocab_size=vocab_size, **{"rms_norm_eps": 1e-5, **changes}
    )


def tiny_qwen2(seed: int = 0, vocab_size: int = 32, **changes) -> Qwen2ForCausalLM:
    return _tiny(Qwen2ForCausalLM, Qwen2Config, seed, vocab_size=vocab_size, **changes)


def tiny_family(family: str, seed: int = 0, **changes):
    """Return a tiny model of a family, with sizes that are not multiples of a SIMD width."""
    shape = {
        "vocab_size": 32,
        "hidden_size": 36,
        "intermediate_size": 50,
        "num_attention_heads": 6,
        "head_dim": 10,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "sliding_window": 5,
        "query_pre_attn_scalar": 11,
    }
    config_class = CONFIG_MAPPING[family]
    if family != "gemma3_text":
        for name in ("layer_types", "sliding_window", "query_pre_attn_scalar"):
            del shape[name]
    if family in ("gpt_neox", "olmo2", "phi3", "smollm3"):  # these have no setting for the width of a head
        del shape["head_dim"]
        shape["hidden_size"] = 60
    return _tiny(AutoModelForCausalLM.from_config, config_class, seed, **{**shape, **changes})


def _tiny(model_class, config_class, seed: int, **changes):
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    torch.manual_seed(seed)
    model = model_class(config_class(**{**shape, **changes})).eval().requires_grad_(False)
    # transformers starts biases at 0, norms at 1 and weights so small that every logit is near 0.
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.normal_(std=0.3)
        else:
            parameter.normal_(std=0.25)
    return model


class Replayed:
    """`CudaGraph` without a GPU: does the same work again, into the outputs of the first time."""

    def __init__(self, work, device):
        self.work, self.outputs = work, work()

    def __call__(self):
        for output, value in zip(self.outputs, self.work(), strict=True):
            if output is not None:
                output.copy_(value)
        return self.outputs


def graphed(model) -> GraphedLlama:
    return GraphedLlama(model, Replayed)


def tiny_drafter_net(
    target, vocab_size: int, seed: int = 0, feature_layers: tuple[int, ...] = (0, 2, 3)
) -> DrafterNet:
    torch.manual_seed(seed)
    config = DrafterConfig(
        hidden_size=target.config.hidden_size,
        intermediate_size=40,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        feature_layers=feature_layers,
        vocab_size=vocab_size,
    )
    net = DrafterNet(config).eval().requires_grad_(False)
    for parameter in net.parameters():
        if parameter.dim() == 1:
            parameter.uniform_(0.5, 1.5)
        else:
            parameter.normal_(std=0.2)
    return net


def rounded(build: Callable, **changes):
    """Return a tiny model with its linear layers in int8."""
    model = build(**changes)
    quantize_model(model)
    return model


def tiny_pair(
    kind: str = "feature", target=None, runner=make_runner, eos_ids: tuple[int, ...] = (), int8: bool = False
) -> Pair:
    """Return a pair of a tiny Llama and a drafter: "feature" (trimmed to 24 tokens, in int8 if `int8`),
    "independent" (another tiny Llama), or "self" (the target itself)."""
    model = target or tiny_llama()
    target = runner(model)
    if kind == "feature":
        vocab = torch.randperm(target.vocab_size, generator=torch.Generator().manual_seed(1))[:24]
        net = tiny_drafter_net(model, len(vocab))
        drafter = FeatureDrafter(net, vocab, target, model.get_input_embeddings().weight.detach(), int8)
    else:
        drafter = IndependentDrafter(
            target if kind == "self" else runner(tiny_llama(seed=1, num_hidden_layers=1))
        )
    return toy_pair(target, drafter, eos_ids)


def toy_pair(target, drafter, eos_ids: tuple[int, ...] = ()) -> Pair:
    return Pair(
        name="toy",
        target=target,
        drafter=drafter,
        tokenizer=toy_tokenizer(target.vocab_size),
        device=target.device,
        dtype=target.dtype,
        target_name="toy target",
        draft_name="toy draft",
        weights="random",
        eos_ids=frozenset(eos_ids),
    )


def byte_tokenizer(letters: bytes) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with these single bytes as its tokens, in this order."""
    of_byte = bytes_to_unicode()
    tokenizer = Tokenizer(models.BPE({of_byte[byte]: i for i, byte in enumerate(dict.fromkeys(letters))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def toy_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer with the words w0, w1, … separated by spaces."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(vocab_size)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0")
