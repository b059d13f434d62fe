"""Speed of pairs with real shapes and random weights, for machines without real weights.

Both models have the configuration of a real model and random weights, generated on the device. The output of
random weights is meaningless. So every forward is computed completely, with the runners and the loop of a
race, and then its logits are replaced by scripted logits. The scripted draft is calibrated: its top token has
some probability b, and is the target's choice with probability b. Everything else is measured.
"""

import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from adaedl.decoding import read_prompt
from adaedl.errors import Parameter, UserError
from adaedl.measure.bench import (
    Job,
    Runs,
    System,
    check_repeats,
    result_row,
    rotated,
    run_lane,
    run_transformers,
    search_assisted,
    with_baseline,
)
from adaedl.measure.forwards import (
    MAX_READ_BYTES,
    WIDTHS,
    PackedAway,
    WeightsRead,
    draft_step_ms,
    machine,
    target_times,
    weights_read,
)
from adaedl.measure.work import DecodingWork
from adaedl.models.cpu.layerwise import random_layerwise
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.models.protocol import Output, Runner
from adaedl.models.token_choice import make_choose, make_read_draft
from adaedl.pairs.devices import read_dtype
from adaedl.pairs.pair import Pair
from adaedl.request import MAX_LANES, Sampling, check_run
from adaedl.stopping import check_live, make_stopper

LANES = ("autoregressive", "fixed:k=2", "fixed:k=4", "fixed:k=6", "adaedl", "throughput")
ACCEPTANCE = 0.7  # typical for a good pair on mixed text
PROMPT_TOKENS = 128
SPARE_BYTES = 2**30  # for caches, activations and the libraries
SEARCH_TOKENS = 32  # for each setting in the search of transformers' fastest
OTHERS = 7  # tokens with a draft probability besides the top token
NO_MODEL = "left out, because int8 layers are generated and packed one by one, so there is no complete model"
NEVER = -1e4  # a logit with probability zero that fits float16


@dataclass(frozen=True)
class Shape:
    """The configurations of a target and a draft, in transformers' terms.

    Attributes:
        name: the name for --shapes.
        like: the models that have these configurations.
    """

    name: str
    like: str
    target: dict
    draft: dict


def _llama(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, **changes) -> dict:
    return {
        "model_type": "llama",
        "vocab_size": 49_152,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        **changes,
    }


def _qwen(*shape: int, tied: bool = False) -> dict:
    # Pairs of this family are cut to this vocabulary size. All token ids are below it.
    return _llama(*shape, model_type="qwen2", vocab_size=151_936, tie_word_embeddings=tied)


SMOLLM2_135M = _llama(576, 1536, 30, 9, 3)
QWEN_05B = _qwen(896, 4864, 24, 14, 2, tied=True)

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("360m+135m", "SmolLM2-360M, SmolLM2-135M drafts", _llama(960, 2560, 32, 15, 5), SMOLLM2_135M),
        Shape("1.7b+135m", "SmolLM2-1.7B, SmolLM2-135M drafts", _llama(2048, 8192, 24, 32, 32), SMOLLM2_135M),
        Shape(
            "1.5b+0.5b",
            "Qwen2.5-1.5B, Qwen2.5-0.5B drafts",
            _qwen(1536, 8960, 28, 12, 2, tied=True),
            QWEN_05B,
        ),
        Shape("7b+0.5b", "Qwen2.5-7B, Qwen2.5-0.5B drafts", _qwen(3584, 18_944, 28, 28, 4), QWEN_05B),
        Shape("14b+0.5b", "Qwen2.5-14B, Qwen2.5-0.5B drafts", _qwen(5120, 13_824, 48, 40, 8), QWEN_05B),
    )
}


def check_shapes(
    lanes: list[str], max_new_tokens: int, repeats: int, seed: int, acceptance: float = ACCEPTANCE
) -> None:
    """Check all options that can be checked before a model is made.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
    """
    check_run(max_new_tokens, seed, "shared_noise")
    if not max(WIDTHS) <= max_new_tokens <= 1024:
        raise UserError(
            "{} is {}; it must be from {} to 1024.", Parameter("max_new_tokens"), max_new_tokens, max(WIDTHS)
        )
    check_repeats(repeats)
    if not 0.2 <= acceptance <= 0.95:
        raise UserError("acceptance is {:g}; it must be from 0.2 to 0.95, such as 0.7.", acceptance)
    for lane in lanes:
        check_live(make_stopper(lane))
    if len(with_baseline(lanes)) > MAX_LANES:
        raise UserError("The bench has {} lanes; at most {} can run.", len(with_baseline(lanes)), MAX_LANES)


def pick_shapes(names: list[str] | None, device: torch.device, dtype: torch.dtype) -> list[Shape]:
    """Return the named shapes, or for None all shapes that fit into the free memory.

    Raises:
        UserError: a shape does not exist, or does not fit into the memory.
    """
    if names is not None:
        for name in names:
            if name not in SHAPES:
                raise UserError("There is no shape {!r}; choose from {}.", name, ", ".join(SHAPES))
    free = free_bytes(device)
    picked = []
    for shape in [SHAPES[name] for name in dict.fromkeys(names)] if names is not None else SHAPES.values():
        needed = needed_bytes(shape, device, dtype)
        if needed <= free:
            picked.append(shape)
        elif names is not None:
            raise UserError(
                "The shape {} needs {:.1f} GiB on {} in {}, where {:.1f} GiB are free; choose a smaller one.",
                shape.name,
                needed / 2**30,
                device,
                str(dtype).removeprefix("torch."),
                free / 2**30,
            )
    if not picked:
        raise UserError(
            "No shape fits {}, where {:.1f} GiB are free; the smallest needs {:.1f}.",
            device,
            free / 2**30,
            min(needed_bytes(shape, device, dtype) for shape in SHAPES.values()) / 2**30,
        )
    return picked


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device, or of the machine if the device has no memory of its own."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def needed_bytes(shape: Shape, device: torch.device, dtype: torch.dtype) -> int:
    """Return the bytes of memory that a bench of a shape needs. On a CPU in float32 there are two copies of
    the weights: in the model of transformers, for its own generation, and packed. In int8 the weights are
    generated layer by layer."""
    if dtype == torch.int8:
        models = [random_layerwise(config) for config in (shape.target, shape.draft)]
        largest = max(weight.numel() for model in models for weight in model.model.parameters())
        read = min(models[0].bytes_to_read(), MAX_READ_BYTES)  # allocated, then copied into huge pages
        packed = sum(model.needed_bytes() for model in models)
        return packed + torch.float32.itemsize * largest + 2 * read + SPARE_BYTES
    copies = 2 if device.type == "cpu" and dtype == torch.float32 else 1
    weights = sum(_weights(config) for config in (shape.target, shape.draft))
    return copies * weights * dtype.itemsize + SPARE_BYTES


def _weights(config: dict) -> int:
    return sum(weight.numel() for weight in make_model(config, "meta", torch.float32).parameters())


def make_model(config: dict, device: torch.device | str, dtype: torch.dtype):
    """Return a transformers model with random weights, generated on its device."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=dtype)
    return model.eval().requires_grad_(False)


@dataclass
class Script:
    """The logits [positions, V] of two models after each position of a text. The first position, `first`, is
    the last token of the prompt."""

    first: int
    target: Tensor
    draft: Tensor

    @staticmethod
    def rows(logits: Tensor, first: int, end: int, count: int) -> Tensor:
        """Return the last `count` rows before position `end`, but none before `first`."""
        return logits[max(end - first - count, 0) : end - first]


def write_script(
    vocab_size: int,
    positions: int,
    acceptance: float,
    seed: int,
    *,
    first: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Script:
    """Return a script. At each position the draft's top token has probability b and is the target's choice
    with probability b, where b is drawn from a beta distribution of mean `acceptance`."""
    rng = random.Random(seed)
    target = torch.full((positions, vocab_size), NEVER)
    draft = target.clone()
    for row in range(positions):
        top, *others = rng.sample(range(vocab_size), OTHERS + 1)
        b = min(max(rng.betavariate(4 * acceptance, 4 * (1 - acceptance)), 0.2), 0.99)
        draft[row, others] = torch.tensor((1 - b) / OTHERS).log()
        draft[row, top] = torch.tensor(b).log()
        target[row, top if rng.random() < b else others[0]] = 0.0
    return Script(first, target.to(device, dtype), draft.to(device, dtype))


class ScriptedRunner:
    """A runner that computes every forward completely and then replaces the logits by scripted ones."""

    def __init__(self, runner: Runner, logits: Tensor, first: int):
        self.runner, self.logits, self.first = runner, logits, first
        self.new_cache = runner.new_cache
        self.vocab_size, self.hidden_size = runner.vocab_size, runner.hidden_size
        self.max_context, self.path = runner.max_context, runner.path
        self.device, self.dtype = runner.device, runner.dtype
        self.embeddings = runner.embeddings

    def forward(
        self, token_ids: Tensor, cache, logits: str = "all", feature_layers: tuple[int, ...] = ()
    ) -> Output:
        end = cache.length + len(token_ids)
        output = self.runner.forward(token_ids, cache, logits, feature_layers)
        if output.logits is None:
            return output
        return output._replace(logits=Script.rows(self.logits, self.first, end, len(output.logits)))


@contextmanager
def scripted(model, logits: Tensor, first: int) -> Iterator[None]:
    """Replace the logits of a transformers model by scripted ones within the context."""

    def replace_logits(model, args, kwargs, output):
        end = output.past_key_values.get_seq_length()
        output.logits = Script.rows(logits, first, end, output.logits.shape[1])[None]
        return output

    hook = model.register_forward_hook(replace_logits, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


class _Numbers:
    """A tokenizer that writes each token as its number."""

    def decode(self, token_ids: list[int], **_) -> str:
        return " ".join(map(str, token_ids))

    def convert_ids_to_tokens(self, token_id: int) -> str:
        return str(token_id)


def make_pair(shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[Pair, object, object]:
    """Return a pair of this shape and its two transformers models, or in int8 their replacements."""
    if dtype == torch.int8:
        (runner, target), (draft_runner, draft) = map(_make_int8, (shape.target, shape.draft))
    else:
        target, draft = (make_model(config, device, dtype) for config in (shape.target, shape.draft))
        runner, draft_runner = make_runner(target), make_runner(draft)
    pair = Pair(
        name=shape.name,
        target=runner,
        drafter=IndependentDrafter(draft_runner),
        tokenizer=_Numbers(),
        device=runner.device,
        dtype=dtype,
        target_name=f"target of {shape.name}",
        draft_name=f"draft of {shape.name}",
        weights="random",
        read_draft=make_read_draft(runner.device),
        choose=make_choose(runner.device),
    )
    return pair, target, draft


def _make_int8(config: dict) -> tuple[Runner, PackedAway]:
    """Return the runner of a model with random int8 weights, generated and packed layer by layer."""
    layerwise = random_layerwise(config)
    replacement = PackedAway(layerwise.bytes_to_read(), torch.device("cpu"))
    layerwise.fill()
    return make_runner(layerwise.model, consume=True), replacement


def bench_shape(
    shape: Shape,
    lanes: list[str],
    device: torch.device,
    dtype: torch.dtype,
    *,
    max_new_tokens: int = 96,
    repeats: int = 3,
    seed: int = 0,
    acceptance: float = ACCEPTANCE,
) -> dict:
    """Measure one shape: first the forwards of each model and the time to read its weights, then our lanes
    and transformers' own generation in turn, with the same script.

    Returns:
        machine; the weights of both models and the time to read them; target_forward_ms by number of tokens
            and draft_step_ms, both also relative to the read; made_s (seconds to generate and pack the random
            weights); peak_mib (the peak memory of this process so far); results (rows as in
            `adaedl.measure.bench`); and left_out, the systems without a row, each with the reason.

    Raises:
        UserError: a value is invalid.
    """
    check_shapes(lanes, max_new_tokens, repeats, seed, acceptance)
    start = time.perf_counter()
    pair, target, draft = make_pair(shape, device, dtype)
    made_s = time.perf_counter() - start
    prompt_ids = torch.tensor(random.Random(seed).sample(range(pair.target.vocab_size), PROMPT_TOKENS))
    prompt_ids = prompt_ids.to(pair.device)
    target_read, forward_ms = target_times(pair, target, prompt_ids)
    draft_read, step_ms = weights_read(draft), draft_step_ms(pair, prompt_ids)

    script = write_script(
        pair.target.vocab_size,
        max_new_tokens,
        acceptance,
        seed,
        first=PROMPT_TOKENS - 1,
        device=pair.device,
        dtype=read_dtype(dtype),
    )
    models = (target, draft)
    with_script = scripted_pair(pair, script)
    context = read_prompt(with_script, prompt_ids, max_new_tokens)
    job = Job(prompt_ids, context, Sampling(0), max_new_tokens, seed)
    systems, left_out = _systems(pair, with_script, models, script, with_baseline(lanes), job)
    runs = _run_all(systems, job, repeats, shape.name)
    return {
        "shape": shape.name,
        "like": shape.like,
        "machine": machine(pair),
        "target": _read_dict(target_read),
        "draft": _read_dict(draft_read),
        "target_forward_ms": forward_ms,
        "target_forward_over_read": {width: ms / target_read.ms for width, ms in forward_ms.items()},
        "draft_step_ms": step_ms,
        "draft_step_over_read": step_ms / draft_read.ms,
        "made_s": made_s,
        "peak_mib": peak_mib(),
        "left_out": left_out,
        "results": [result_row(system, 0.0, runs[system], runs[systems[0]]) for system in systems],
    }


def scripted_pair(pair: Pair, script: Script) -> Pair:
    """Return the pair with models that compute as before and then return scripted logits."""
    draft_runner = cast(IndependentDrafter, pair.drafter).runner
    return replace(
        pair,
        target=ScriptedRunner(pair.target, script.target, script.first),
        drafter=IndependentDrafter(ScriptedRunner(draft_runner, script.draft, script.first)),
    )


def _systems(
    pair: Pair, with_script: Pair, models: tuple, script: Script, lanes: list[str], job: Job
) -> tuple[list[System], dict[str, str]]:
    """Return the systems to measure, warmed up on a job, and the systems left out, each with the reason.

    Args:
        with_script: the scripted pair.
        models: target and draft from `make_pair`.
    """
    target, draft = models

    def generate(job: Job, **drafting) -> DecodingWork:
        with ExitStack() as hooks:
            hooks.enter_context(scripted(target, script.target, script.first))
            hooks.enter_context(scripted(draft, script.draft, script.first))
            return run_transformers(pair, target, job, **drafting)

    systems = [System("adaedl", lane, partial(run_lane, with_script, lane)) for lane in lanes]
    complete_models = not isinstance(target, PackedAway)
    assisted = partial(generate, assistant=draft)
    if complete_models:
        systems.append(System("transformers_generate", "generate", generate))
        systems.append(System("transformers_assisted", "defaults", assisted))
    for system in systems:
        system.run(job)
    if not complete_models:
        return systems, dict.fromkeys(("transformers_generate", "transformers_assisted"), NO_MODEL)
    short = replace(job, max_new_tokens=min(SEARCH_TOKENS, job.max_new_tokens))
    return [*systems, search_assisted(assisted, [short])], {}


def _run_all(systems: list[System], job: Job, repeats: int, title: str) -> dict[System, Runs]:
    """Run every system on a job `repeats` times, in an order that rotates by one with every repeat."""
    runs = {system: Runs() for system in systems}
    with tqdm(total=repeats * len(systems), desc=title, unit="text", leave=False, file=sys.stderr) as bar:
        for repeat in range(repeats):
            for system in rotated(systems, repeat):
                runs[system].add("the script", system.run(job))
                bar.update()
    return runs


def bench_shapes(shapes: list[Shape], lanes: list[str], device, dtype, **options) -> dict:
    """Run `bench_shape` for each shape and return the object that `bench --shapes --json` writes."""
    return deque(bench_shapes_in_parts(shapes, lanes, device, dtype, **options), maxlen=1)[0]


def bench_shapes_in_parts(shapes: list[Shape], lanes: list[str], device, dtype, **options) -> Iterator[dict]:
    """Yield the object of `bench_shapes` after each shape, with the key `complete`."""
    measured: list[dict] = []
    for shape in shapes:
        measured.append(bench_shape(shape, lanes, device, dtype, **options))
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()
        yield {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "weights": "random",
            "prompt_tokens": PROMPT_TOKENS,
            **options,
            "complete": len(measured) == len(shapes),
            "shapes": list(measured),
        }


def peak_mib() -> int | None:
    """Return the peak memory of this process in MiB, or None if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _read_dict(read: WeightsRead) -> dict:
    return {"weights_bytes": read.bytes, "weights_read_ms": read.ms, "bandwidth_gb_s": read.gb_per_s}
