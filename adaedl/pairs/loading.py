"""Load a pair from its name in stages: request, fetch, check, read, assemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError
from adaedl.pairs.chat import PROMPT, own_template, untrusted_template
from adaedl.pairs.checks import check_can_copy, check_int8, check_layers, check_memory, check_shape
from adaedl.pairs.devices import check_runs_here, dtype_of, pick_device, pick_dtype, read_dtype
from adaedl.pairs.presets import DEFAULT_PAIR, Preset, resolve, short_name
from adaedl.pairs.progress import Progress, silent
from adaedl.pairs.prompt_encoder import PromptEncoder
from adaedl.pairs.reading import (
    Unreadable,
    as_unreadable,
    load_model,
    load_tokenizer,
    reading_failures_refused,
)
from adaedl.pairs.same_tokenizer import check_same_tokenizer
from adaedl.pairs.vocabulary import (
    check_rows,
    drafted_vocabulary,
    end_tokens,
    share_vocabulary,
    tokens_of,
)
from adaedl.pairs.weights import discard_damaged, fetch_weights
from adaedl.system.machine import available_memory, give_back_memory, out_of_memory_as, without_collections
from adaedl.system.shipped import shipped
from adaedl.system.threads import apply_threads

if TYPE_CHECKING:  # slow to import, and the page needs presets and cached copies first
    import torch
    from torch import nn

    from adaedl.models.cpu.layerwise import Layerwise
    from adaedl.models.drafters.base import Drafter
    from adaedl.models.protocol import Runner
    from adaedl.pairs.chat import ChatTemplate
    from adaedl.pairs.pair import Pair
    from adaedl.pairs.placement import Placement
    from adaedl.pairs.same_tokenizer import Difference
    from adaedl.pairs.sources.folder import Weights


@dataclass(frozen=True)
class Request:
    """A caller's request, with defaults filled in.

    Attributes:
        device_is_free: the caller did not name the device, so a pair that does not fit on one GPU may use
            several.
        dtype: of the weights in use.
        progress, allow_local, trusted, make_room, read_first: as in `load_pair`.
    """

    preset: Preset
    device: torch.device
    device_is_free: bool
    dtype: torch.dtype
    progress: Progress
    allow_local: bool
    trusted: bool
    make_room: Callable[[], None] | None = None
    read_first: bool = False

    @property
    def models(self) -> list[str]:
        """The names of the models to read, the target's first."""
        return [name for name in (self.preset.target, self.preset.separate_draft) if name]

    @property
    def fills_memory(self) -> bool:
        """Whether weights are read into the machine's memory instead of directly into a GPU's."""
        return self.read_first or self.device.type == "cpu"

    @property
    def read_dtype(self) -> torch.dtype:
        """The dtype that the weights are read in."""
        return read_dtype(self.dtype)

    @property
    def copy_itemsize(self) -> int:
        """Bytes per weight of the target's copy that drafts; 0 if there is no copy."""
        return 1 if self.preset.draft_bits else 0


@dataclass
class CheckedFiles:
    """The checked files of a pair. Dictionaries are keyed by the names of the models.

    Attributes:
        sizes: bytes of the weights in the dtype that they are read in.
        layerwise: models that are read and quantised layer by layer.
    """

    weights: dict[str, Weights]
    sizes: dict[str, int]
    layerwise: dict[str, Layerwise]
    tokenizer: object
    difference: Difference | None
    template: ChatTemplate | None
    encoder: PromptEncoder


@dataclass
class ReadModels:
    """A pair's transformers models.

    Attributes:
        draft: None if no separate model drafts.
        spread: the bytes of the target that each device may hold; None if the target is on one device.
    """

    target: nn.Module
    draft: nn.Module | None
    device: torch.device
    spread: dict[str, int] | None


def load_pair(
    name: str = DEFAULT_PAIR,
    *,
    device: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
    allow_local: bool = True,
    trusted: bool = True,
    make_room: Callable[[], None] | None = None,
    read_first: bool = False,
) -> Pair:
    """Fetch, check and load a target and its drafter.

    Args:
        name: a preset's name or "TARGET:DRAFT", see `presets.resolve`.
        device: "cuda", "cuda:1", "mps" or "cpu"; None for the best device available.
        dtype: "float32", "bfloat16", "float16" or, on a CPU, "int8"; None for the default of the pair or the
            device.
        progress: called with a sentence and a fraction at each stage, see `fetch_weights`.
        allow_local: whether folders are accepted as models.
        trusted: False for a pair that a visitor names. The Hub is then accessed without this machine's token,
            a configuration that requires more weights than its files contain is refused, and the chat
            template, which is a program, runs in a separate process with limited time and memory.
        make_room: called just before the weights are read, so that the caller can release another pair.
        read_first: read all weights into the machine's memory, then move them to the device, as ZeroGPU
            requires.

    Raises:
        UserError: the pair cannot be loaded; the message says in one sentence what the user can do.
    """
    preset = resolve(name)
    _import_libraries()
    apply_threads()
    request = _request(preset, device, dtype, progress, allow_local, trusted, make_room, read_first)
    try:
        return _load(request)
    except Unreadable as error:
        model, sentence = error.model, error.sentence
    # Outside the except clause, because the exception keeps everything alive that the first try has read.
    if not trusted or not discard_damaged(model):
        raise UserError(sentence.template, *sentence.values)
    request.progress(Sentence("removed a damaged copy of {}", short_name(model)), None)
    return _load(request)


def fetch_pair(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
    allow_local: bool = True,
    trusted: bool = True,
) -> None:
    """Download the files that `load_pair` needs without reading them. Arguments and errors are those of
    `load_pair`."""
    _fetch(_request(resolve(name), device, dtype, progress, allow_local, trusted))


def _load(request: Request) -> Pair:
    _start_compiling(request)
    files = _check(request, _fetch(request))
    if request.make_room:
        request.make_room()
    device, spread = _place(request, files)
    with out_of_memory_as(_too_large(request, device)):
        models = _read(request, files, device, spread)
        pair = _assemble(request, files, models)
    del files, models  # packed weights have replaced the originals
    give_back_memory()
    request.progress(Sentence("ready on {}", pair.runs_on), 1.0)
    return pair


def _import_libraries() -> None:
    """Import the modules that loading needs in one go, which takes seconds."""
    with without_collections():
        import adaedl.models.drafters.feature
        import adaedl.models.factory
        import adaedl.pairs.pair
        import adaedl.pairs.placement  # noqa: F401


def _start_compiling(request: Request) -> None:
    """Start compiling the CPU kernels in parallel with the download. The first time takes seconds."""
    from adaedl.models.cpu import backends

    if request.device.type == "cpu":
        Thread(target=backends.kernels).start()


def _request(
    preset: Preset,
    device: str | None,
    dtype: str | None,
    progress: Progress | None,
    allow_local: bool,
    trusted: bool,
    make_room: Callable[[], None] | None = None,
    read_first: bool = False,
) -> Request:
    """Return a request with a device and a dtype.

    Raises:
        UserError: the device or the dtype is not available here, or the pair does not run on it.
    """
    chosen = pick_device(device)
    check_runs_here(preset, chosen)
    return Request(
        preset=preset,
        device=chosen,
        device_is_free=device in (None, "", "auto"),
        dtype=pick_dtype(chosen, dtype_of(preset, dtype)),
        progress=progress or silent,
        allow_local=allow_local,
        trusted=trusted,
        make_room=make_room,
        read_first=read_first,
    )


def _fetch(request: Request) -> dict[str, Weights]:
    """Return the weights of the models, and download missing ones.

    Raises:
        UserError: weights cannot be fetched, or would not fit into memory here.
    """
    from adaedl.pairs.placement import memory_of_gpus

    def check_size(count: int) -> None:
        memory = available_memory() if request.fills_memory else memory_of_gpus()
        check_memory(request.preset.name, count * (request.dtype.itemsize + request.copy_itemsize), memory)

    return {
        name: fetch_weights(
            name,
            request.progress,
            allow_local=request.allow_local,
            use_token=request.trusted,
            check_size=check_size,
        )
        for name in request.models
    }


def _check(request: Request, weights: dict[str, Weights]) -> CheckedFiles:
    """Check everything that can be checked before gigabytes are read.

    Raises:
        UserError: the files are invalid, or the two models do not match.
    """
    target = request.preset.target
    if not request.trusted:
        for name, files in weights.items():
            check_layers(files.folder, name)
    tokenizer = load_tokenizer(weights[target].folder, target)
    difference = _compare_tokenizers(request, weights, tokenizer)
    sizes = _measure(request, weights)
    layerwise = _open_layerwise(request, weights, tokenizer)
    with as_unreadable(target):
        template = (own_template if request.trusted else untrusted_template)(tokenizer, target)
        encoder = PromptEncoder(tokenizer, template.render if template else None, target)
        encoder.encode(PROMPT)
    return CheckedFiles(weights, sizes, layerwise, tokenizer, difference, template, encoder)


def _compare_tokenizers(request: Request, weights: dict[str, Weights], tokenizer) -> Difference | None:
    """Return how the draft's tokenizer differs from the target's, or None if it does not."""
    draft = request.preset.separate_draft
    if not draft:
        return None
    difference = check_same_tokenizer(tokenizer, load_tokenizer(weights[draft].folder, draft))
    if difference:
        request.progress(difference.sentence, None)
    return difference


def _measure(request: Request, weights: dict[str, Weights]) -> dict[str, int]:
    """Return the size of each model's weights in the dtype that they are read in, in bytes."""
    from adaedl.pairs.placement import size_of_weights

    sizes = {}
    for name, files in weights.items():
        with reading_failures_refused(name, "weights"):
            sizes[name] = size_of_weights(files.folder, request.read_dtype)
        if not request.trusted:
            check_shape(files.folder, sizes[name] // request.read_dtype.itemsize, name)
    return sizes


def _open_layerwise(request: Request, weights: dict[str, Weights], tokenizer) -> dict[str, Layerwise]:
    """Return the models that can be read layer by layer, if the request is for int8."""
    import torch

    from adaedl.models.cpu.layerwise import open_layerwise

    opened: dict[str, Layerwise] = {}
    if request.dtype != torch.int8:
        return opened
    # A draft that lacks some of the target's tokens gets rows for them, which needs all of its weights.
    rows = {request.preset.separate_draft: tokens_of(tokenizer)}
    for name, files in weights.items():
        layerwise = open_layerwise(files.folder, short_name(name))
        if layerwise and layerwise.rows >= rows.get(name, 0):
            layerwise.progress = partial(request.progress, Sentence("loading {}", short_name(name)))
            layerwise.errors = partial(reading_failures_refused, name, "causal language model")
            opened[name] = layerwise
    return opened


def _place(request: Request, files: CheckedFiles) -> tuple[torch.device, dict[str, int] | None]:
    """Return the device that the pair runs on and, if the target does not fit on one device, the bytes of the
    target that each device may hold.

    Raises:
        UserError: there is not enough memory here.
    """
    import torch

    if request.fills_memory:
        needed = files.sizes | {name: opened.needed_bytes() for name, opened in files.layerwise.items()}
        copy_bytes = files.sizes[request.preset.target] // request.read_dtype.itemsize * request.copy_itemsize
        check_memory(request.preset.name, sum(needed.values()) + copy_bytes, available_memory())
    if request.device_is_free and request.device.type == "cuda" and not request.read_first:
        placement = _placement(request.preset, *files.sizes.values())
        return torch.device(placement.device), placement.target_bytes
    return request.device, None


def _placement(preset: Preset, target_bytes: int, draft_bytes: int = 0) -> Placement:
    """Return the placement of a pair's weights on the GPUs of this machine."""
    from adaedl.pairs.placement import Placement, place, visible_gpus

    gpus = visible_gpus()
    if len(gpus) == 1:
        return Placement(gpus[0].name)
    return place(preset.name, target_bytes, draft_bytes, gpus)


def _too_large(request: Request, device: torch.device) -> Sentence:
    """Return the sentence for a device that runs out of memory."""
    requirement: str | Sentence = ""
    if request.preset.min_memory_gib:
        requirement = Sentence(", which needs about {:g} GiB", request.preset.min_memory_gib)
    return Sentence(
        "{} has too little free memory for {}{}; choose a smaller pair, such as {}.",
        device,
        request.preset.name,
        requirement,
        DEFAULT_PAIR,
    )


def _read(
    request: Request, files: CheckedFiles, device: torch.device, spread: dict[str, int] | None
) -> ReadModels:
    """Read the models, give them one vocabulary, and convert them to the requested dtype.

    Raises:
        UserError: a model cannot be read or cannot be decoded step by step.
    """
    import torch

    from adaedl.models.cpu.int8_linear import quantize_model
    from adaedl.models.stepwise import check_stepwise

    preset, tokenizer, layerwise = request.preset, files.tokenizer, files.layerwise
    draft_name = preset.separate_draft
    _drop_unpackable(request, files)
    read_on = torch.device("cpu") if request.read_first else device
    target = _read_model(request, files, preset.target, read_on, spread)
    check_rows(target, tokenizer, preset.target)
    draft = None
    if draft_name:
        draft = _read_model(request, files, draft_name, read_on)
        share_vocabulary(target, draft, tokenizer, files.difference)
    models = dict(zip(request.models, (target, draft), strict=False))
    if request.read_first:  # ZeroGPU's device is not available yet
        for model in models.values():
            check_stepwise(model)
    if draft is not None and draft_name not in layerwise:
        draft.to(device)
    if request.dtype == torch.int8:
        for name, model in models.items():
            if name in layerwise:
                layerwise[name].fill()
            else:
                quantize_model(model)
    return ReadModels(target, draft, device, spread)


def _drop_unpackable(request: Request, files: CheckedFiles) -> None:
    """Mark the models that the CPU's fast path does not run to be read as a whole."""
    from adaedl.models.cpu.layerwise import packs_alike

    for name in list(files.layerwise):
        if not packs_alike(files.layerwise[name]):
            del files.layerwise[name]
            check_memory(request.preset.name, files.sizes[name], available_memory())


def _read_model(
    request: Request,
    files: CheckedFiles,
    name: str,
    device: torch.device,
    spread: dict[str, int] | None = None,
) -> nn.Module:
    request.progress(Sentence("loading {}", short_name(name)), None)
    if name in files.layerwise:
        return files.layerwise[name].model
    return load_model(files.weights[name].folder, device, request.read_dtype, name, spread)


def _assemble(request: Request, files: CheckedFiles, models: ReadModels) -> Pair:
    """Return the pair. Its runners may take the models apart."""
    import torch

    from adaedl.models.drafters.independent import IndependentDrafter
    from adaedl.models.factory import make_runner
    from adaedl.models.token_choice import make_choose, make_read_draft
    from adaedl.pairs.pair import Pair

    device, preset = models.device, request.preset
    # ZeroGPU's device is not available yet, and a different process uses it each time.
    options = {"graphs": not request.read_first, "measure": not request.read_first, "consume": True}
    copy_runner = None
    if preset.draft_bits:
        copy_runner = _pack_copy(request, models.target, preset.draft_bits, options)
    if models.spread:
        target = make_runner(models.target, device)
    else:
        embeddings = copy_runner.embeddings if copy_runner else None
        target = make_runner(models.target.to(device), embeddings=embeddings, **options)
    if request.dtype == torch.int8:
        check_int8(preset.name, target)
    if copy_runner:
        drafter: Drafter = IndependentDrafter(copy_runner)
    else:
        drafter = _make_drafter(request, files, models, target, options)
    parts = models.target.hf_device_map.values() if models.spread else ()
    notes: list[str] = [files.difference.sentence] if files.difference else []
    if preset.draft_bits:
        notes.append(_describe_copy(preset.draft_bits))
    return Pair(
        name=preset.name,
        target=target,
        drafter=drafter,
        tokenizer=files.tokenizer,
        device=device,
        dtype=request.dtype,
        target_name=preset.target,
        draft_name=preset.draft_name,
        weights="; ".join([*(weights.origin for weights in files.weights.values()), *notes]),
        eos_ids=end_tokens(models.target, files.encoder, files.template),
        spread=tuple(dict.fromkeys(f"cuda:{part}" for part in parts)),
        encoder=files.encoder,
        read_draft=None if request.read_first else make_read_draft(device),
        choose=make_choose(device),
        draft_bits=preset.draft_bits,
        tuned=preset.tuned,
    )


def _describe_copy(bits: int) -> str:
    """Return a description of the target's own copy as the drafter."""
    emulated = "" if bits == 8 else f", each rounded to {bits} bits"
    return f"a copy of them in int8 drafts{emulated}"


def _pack_copy(request: Request, target: nn.Module, bits: int, options: dict[str, bool]) -> Runner:
    """Return the runner of the target's own copy, rounded to `bits` bits. The copy is packed before the
    target is taken apart, and shares the target's embeddings.

    Raises:
        UserError: the kernels cannot run this model.
    """
    from adaedl.models.cpu.int8_linear import quantized_copy
    from adaedl.models.factory import make_runner

    preset = request.preset
    check_can_copy(preset.target, target)
    request.progress(Sentence("rounding a copy of {}", short_name(preset.target)), None)
    runner = make_runner(quantized_copy(target, bits), **options)
    check_int8(preset.name, runner)
    return runner


def _make_drafter(
    request: Request, files: CheckedFiles, models: ReadModels, target: Runner, options: dict[str, bool]
) -> Drafter:
    from adaedl.models.drafters.feature import load_feature_drafter
    from adaedl.models.drafters.independent import IndependentDrafter
    from adaedl.models.factory import make_runner

    if request.preset.drafter:
        embeddings = target.embeddings.to(models.device)
        return load_feature_drafter(shipped(request.preset.drafter), target, embeddings)
    vocab = drafted_vocabulary(files.tokenizer, files.difference)
    runner = make_runner(models.draft, **options) if models.draft is not None else target
    return IndependentDrafter(runner, None if vocab is None else vocab.to(models.device))
