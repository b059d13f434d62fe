"""Text of two plain transformers models: of the target alone, of transformers' assisted generation, and of
`adaedl.generate`. All three run the same modules, so only the loop around the modules differs."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from adaedl.generation import generate
from adaedl.measure.peers.transformers import configure_assistant, generation_config
from adaedl.request import Sampling


@dataclass(frozen=True)
class ModelPair:
    """A target and a draft model of transformers, and prompts for them.

    Attributes:
        description: the models, in words.
        prompts: the token ids [T] of each prompt.
        lanes: the stoppers to measure by default.
    """

    name: str
    description: str
    target: torch.nn.Module
    draft: torch.nn.Module
    prompts: list[Tensor]
    lanes: tuple[str, ...]
    eos_ids: frozenset[int] = frozenset()


class Setting(NamedTuple):
    """Settings of transformers' assistant: num_assistant_tokens, num_assistant_tokens_schedule and
    assistant_confidence_threshold."""

    drafts: int
    schedule: str
    confidence: float


@dataclass(frozen=True)
class Job:
    """One text to write."""

    prompt_ids: Tensor
    sampling: Sampling
    max_new_tokens: int
    seed: int


@dataclass
class Work:
    """The work of one or more texts, with the prefill.

    Attributes:
        tokens: new tokens.
        seconds: the duration of the calls of `generate`.
        rounds: forward passes of the target.
        drafted, accepted: drafted tokens, and the accepted ones among them.
        target_s, draft_s: the time in the forward passes of each model. On a GPU, which runs asynchronously,
            only the time to queue them.
        draft_forwards: forward passes of the draft.
    """

    tokens: int = 0
    seconds: float = 0.0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    target_s: float = 0.0
    draft_s: float = 0.0
    draft_forwards: int = 0

    def add(self, other: "Work") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


@dataclass
class Forwards:
    """Hooks that count and time the forward passes of a model. `widths` are the input tokens of each pass."""

    widths: list[int] = field(default_factory=list)
    seconds: float = 0.0
    start: float = 0.0

    def watch(self, model: torch.nn.Module, hooks: ExitStack) -> None:
        hooks.enter_context(model.register_forward_pre_hook(self.begin, with_kwargs=True))
        hooks.enter_context(model.register_forward_hook(self.end))

    def begin(self, model, args: tuple, kwargs: dict) -> None:
        self.widths.append(kwargs["input_ids"].shape[1])
        self.start = time.perf_counter()

    def end(self, model, args: tuple, output) -> None:
        self.seconds += time.perf_counter() - self.start


def write_alone(pair: ModelPair, job: Job) -> tuple[list[int], Work]:
    """Return the text of the target alone, and the work."""
    return _write(pair, job)


def write_assisted(pair: ModelPair, job: Job, setting: Setting | None = None) -> tuple[list[int], Work]:
    """Return the text of transformers' assisted generation, and the work. None stands for its defaults."""
    if setting is None:
        configure_assistant(pair.draft)
    else:
        configure_assistant(pair.draft, setting.drafts, setting.confidence, setting.schedule)
    return _write(pair, job, assistant_model=pair.draft)


def write_adaptive(pair: ModelPair, stopper: str, job: Job) -> tuple[list[int], Work]:
    """Return the text of `adaedl.generate` with a stopper, and the work."""
    configure_assistant(pair.draft)
    return _write(pair, job, assistant_model=pair.draft, custom_generate=generate, stopper=stopper)


def _write(pair: ModelPair, job: Job, **arguments) -> tuple[list[int], Work]:
    ids = job.prompt_ids[None]
    config = generation_config(pair.eos_ids, job.sampling, job.max_new_tokens)
    target, draft = Forwards(), Forwards()
    with torch.random.fork_rng(), ExitStack() as hooks:
        torch.manual_seed(job.seed)
        target.watch(pair.target, hooks)
        draft.watch(pair.draft, hooks)
        start = _now(ids.device)
        text = pair.target.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config, **arguments
        )
        seconds = _now(ids.device) - start
    new_ids = text[0, ids.shape[1] :].tolist()
    rounds = len(target.widths)
    return new_ids, Work(
        tokens=len(new_ids),
        seconds=seconds,
        rounds=rounds,
        # The first round also reads the prompt. Each later round also reads the last token of the text.
        drafted=sum(target.widths) - ids.shape[1] - (rounds - 1),
        accepted=len(new_ids) - rounds,
        target_s=target.seconds,
        draft_s=draft.seconds,
        draft_forwards=len(draft.widths),
    )


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()
