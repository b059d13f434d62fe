"""From a model's name to a loaded pair: fetch its weights, check them, load them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError, first_line, is_failure
from adaedl.models.checkpoints import BUFFERS, quiet_transformers
from adaedl.pairs.chat import PROMPT, own_template, strangers_template
from adaedl.pairs.presets import DEFAULT_PAIR, DTYPES, Preset, resolve
from adaedl.pairs.prompt_encoder import PromptEncoder
from adaedl.pairs.vocabulary import (
    check_rows,
    check_same_tokenizer,
    drafted_vocabulary,
    end_tokens,
    share_vocabulary,
    tokens_of,
)
from adaedl.pairs.weights import Progress, Weights, discard_damaged, fetch_weights, short, silent
from adaedl.system.machine import (
    available_memory,
    give_back_memory,
    is_out_of_memory,
    out_of_memory_as,
    without_collections,
)
from adaedl.system.threads import apply_threads

if TYPE_CHECKING:  # slow to import; the page asks for presets and cached copies before it needs them
    import torch

    from adaedl.models.cpu.layerwise import Layerwise
    from adaedl.models.protocol import Runner
    from adaedl.pairs.pair import Pair
    from adaedl.pairs.placement import Placement

PROJECT = Path(__file__).resolve().parents[2]
MOST_LAYERS = 1000  # far more than any model has


class Unreadable(UserError):
    """Files of a model are there, and what they hold cannot be loaded. `model` is its name."""

    def __init__(self, model: str, template: str, *values):
        super().__init__(template, *values)
        self.model = model


def pick_device(device: str | None = None) -> torch.device:
    """The device asked for; with None or "auto" the first CUDA GPU, else Apple's MPS, else the CPU.

    Raises:
        UserError: no such device here; the message lists those that are.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device in (None, "", "auto"):
        return torch.device(here[0])
    wanted = str(device).strip().lower()
    wanted = "cuda:0" if wanted == "cuda" else wanted
    if wanted not in here:
        raise UserError("There is no device {!r} here; choose auto or one of {}.", device, ", ".join(here))
    return torch.device(wanted)


def pick_dtype(device: torch.device, dtype: str | None = None) -> torch.dtype:
    """The dtype asked for; with None or "auto" bfloat16 on CUDA (float16 on GPUs older than bfloat16),
    float32 elsewhere.

    Raises:
        UserError: not one of float32, bfloat16, float16 and int8, or int8 where it is not multiplied fast.
    """
    import torch

    from adaedl.models.cpu.backends import multiplies_int8

    if dtype in (None, "", "auto"):
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    wanted = str(dtype).strip().lower().removeprefix("torch.")
    if wanted not in DTYPES:
        raise UserError("There is no dtype {!r}; choose auto or one of {}.", dtype, ", ".join(DTYPES))
    if wanted == "int8" and (device.type != "cpu" or not multiplies_int8()):
        raise UserError(
            "int8 is for a CPU that multiplies it fast (with AVX-512 VNNI) in this app's kernels, which {} "
            "does not; choose auto.",
            device,
        )
    return getattr(torch, wanted)


def read_dtype(dtype: torch.dtype) -> torch.dtype:
    """What weights are read in, to be used in a dtype: int8 is rounded from float32."""
    import torch

    return torch.float32 if dtype == torch.int8 else dtype


@without_collections()
def load_tokenizer(folder: Path, name: str | None = None):
    """The tokenizer in a folder; `name` is what errors call it.

    Raises:
        UserError: it cannot be read, or only with code of its own.
    """
    from transformers import AutoTokenizer

    with quiet_transformers(), _load_errors(name or str(folder), "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


@without_collections()
def load_model(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    name: str | None = None,
    spread: dict[str, int] | None = None,
):
    """The causal language model in a folder, in eval mode without gradients, read from safetensors
    straight into `dtype` on `device`; `name` is what errors call it. Where it is to be `spread`, over the
    devices named there, so many bytes at the most on each.

    Raises:
        UserError: it is no such model, its weights are incomplete or broken, it needs code of its own, or
            the device has too little memory.
    """
    from transformers import AutoModelForCausalLM

    name = name or str(folder)
    placed = {"device_map": None if device.type == "cpu" else {"": device}}
    if spread:
        placed = {"device_map": "auto", "max_memory": _for_accelerate(name, spread)}
    with quiet_transformers(), _load_errors(name, "causal language model"):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            **placed,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    if spread and {"cpu", "disk"} & set(map(str, model.hf_device_map.values())):
        raise UserError(
            "The layers of {} do not fit the GPUs here, however they are shared out; choose a smaller pair.",
            name,
        )
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            "{} lacks {} of its weights, {} first; choose another model.", name, len(missing), missing[0]
        )
    if unused := sorted(key for key in info["unexpected_keys"] if not BUFFERS.search(key)):
        raise UserError(
            "The configuration of {} leaves out {} of the weights in its files, {} first; choose another "
            "model.",
            name,
            len(unused),
            unused[0],
        )
    return model.eval().requires_grad_(False)


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
        device: "cuda", "cuda:1", "mps" or "cpu"; None for the best one here.
        dtype: "float32", "bfloat16", "float16" or, on a CPU, "int8"; None for the device's own.
        progress: told what is being done, see `fetch_weights`.
        allow_local: False refuses folders as models.
        trusted: False for a pair that somebody else names. The Hub is asked without this machine's token,
            a configuration that asks for more than the files hold is refused, and a chat template, which is a
            program, runs once in a process of its own with little time and memory.
        make_room: called once nothing but the reading of the weights is left to do, for a caller that lets go
            of another pair for this one.
        read_first: read the weights into the machine's memory whole, then move them to the device. ZeroGPU
            wants it so.

    Raises:
        UserError: anything in the way that the user can mend, in one sentence.
    """
    progress = progress or silent
    preset = resolve(name)
    second = _second_model(preset)
    options = {
        "device": device,
        "dtype": dtype,
        "progress": progress,
        "allow_local": allow_local,
        "trusted": trusted,
        "make_room": make_room,
        "read_first": read_first,
    }
    try:
        return _load_pair(preset, second, **options)
    except Unreadable as error:
        model, sentence = error.model, error.sentence
    # Out of the except clause, which keeps all that the first try has read.
    if not trusted or not discard_damaged(model):
        raise UserError(sentence.template, *sentence.values)
    progress(Sentence("removed a damaged copy of {}", short(model)), None)
    return _load_pair(preset, second, **options)


def fetch_pair(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    progress: Progress | None = None,
    allow_local: bool = True,
    trusted: bool = True,
) -> None:
    """Bring what `load_pair` needs to this machine, and read none of it; arguments and errors are its own."""
    preset = resolve(name)
    device = pick_device(device)
    dtype = pick_dtype(device, dtype)
    progress = progress or silent
    _fetch_pair(preset, _second_model(preset), device, dtype, progress, allow_local, trusted, False)


def _second_model(preset: Preset) -> str | None:
    """The draft's name where that is a model of its own."""
    return None if preset.drafter or preset.drafts_for_itself else preset.draft


def _fetch_pair(
    preset: Preset,
    second: str | None,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
    allow_local: bool,
    trusted: bool,
    read_first: bool,
) -> list[Weights]:
    """The weights of the target, and of the draft where that is a model of its own, to be used in `dtype`."""
    from adaedl.pairs.placement import memory_of_gpus

    def check_size(count: int) -> None:
        in_memory = read_first or device.type == "cpu"
        memory = available_memory() if in_memory else memory_of_gpus()
        _check_memory(preset.name, count * dtype.itemsize, memory)

    options = {"allow_local": allow_local, "use_token": trusted, "check_size": check_size}
    return [fetch_weights(name, progress, **options) for name in (preset.target, second) if name]


def _load_pair(
    preset: Preset,
    second: str | None,
    *,
    device: str | None,
    dtype: str | None,
    progress: Progress,
    allow_local: bool,
    trusted: bool,
    make_room: Callable[[], None] | None,
    read_first: bool,
) -> Pair:
    """`load_pair` of a preset and the name of its draft where that is a model of its own."""
    with without_collections():
        import torch

        from adaedl.decoding import make_choose, make_read_draft
        from adaedl.models.cpu.backends import kernels
        from adaedl.models.cpu.int8_linear import quantize_model
        from adaedl.models.cpu.layerwise import packs_alike
        from adaedl.models.drafters.feature import load_feature_drafter
        from adaedl.models.drafters.independent import IndependentDrafter
        from adaedl.models.factory import make_runner
        from adaedl.models.stepwise import check_stepwise
        from adaedl.pairs.pair import Pair
        from adaedl.pairs.placement import size_of_weights

    apply_threads()
    chosen_here = device in (None, "", "auto")
    device = pick_device(device)
    used_as = pick_dtype(device, dtype)
    dtype = read_dtype(used_as)
    in_memory = read_first or device.type == "cpu"
    if device.type == "cpu":  # the first time they are compiled, for seconds, which a download waits anyway
        Thread(target=kernels).start()
    fetched = _fetch_pair(preset, second, device, used_as, progress, allow_local, trusted, read_first)
    models = dict(zip((preset.target, second), fetched, strict=False))
    if not trusted:
        for model_id, weights in models.items():
            _check_layers(weights.folder, model_id)
    tokenizer = load_tokenizer(fetched[0].folder, preset.target)
    difference, notes = None, []
    if second:  # mismatched tokenizers are found before gigabytes are read
        difference = check_same_tokenizer(tokenizer, load_tokenizer(fetched[1].folder, second))
        if difference:
            progress(difference.sentence, None)
            notes.append(difference.sentence)
    sizes = {}
    for model_id, weights in models.items():
        with _load_errors(model_id, "weights"):
            sizes[model_id] = size_of_weights(weights.folder, dtype)
        if not trusted:
            _check_shape(weights.folder, sizes[model_id] // dtype.itemsize, model_id)
    by_layers = {}
    if used_as == torch.int8:
        rows = {second: tokens_of(tokenizer)}  # a draft that lacks some is given them, which takes all of it
        by_layers = _open_by_layers(models, rows, progress)
    with _unreadable(preset.target):  # found before gigabytes are read
        template = (own_template if trusted else strangers_template)(tokenizer, preset.target)
        encoder = PromptEncoder(tokenizer, template and template.render, preset.target)
        encoder.encode(PROMPT)

    if make_room:
        make_room()
    if in_memory:
        needs = sizes | {model_id: read.needed_bytes() for model_id, read in by_layers.items()}
        _check_memory(preset.name, sum(needs.values()), available_memory())
    spread = None
    if chosen_here and device.type == "cuda" and not read_first:
        placement = _placement(preset, *sizes.values())
        device, spread = torch.device(placement.device), placement.target_bytes
    read_on = torch.device("cpu") if read_first else device
    need = ""
    if preset.min_memory_gib:
        need = Sentence(", which needs about {:g} GiB", preset.min_memory_gib)
    too_large = Sentence(
        "{} has too little free memory for {}{}; choose a smaller pair, such as {}.",
        device,
        preset.name,
        need,
        DEFAULT_PAIR,
    )
    with out_of_memory_as(too_large):
        for model_id in list(by_layers):
            if not packs_alike(by_layers[model_id]):
                del by_layers[model_id]
                _check_memory(preset.name, sizes[model_id], available_memory())
        progress(Sentence("loading {}", short(preset.target)), None)
        draft_model = None
        if preset.target in by_layers:
            model = by_layers[preset.target].model
        else:
            model = load_model(fetched[0].folder, read_on, dtype, preset.target, spread)
        check_rows(model, tokenizer, preset.target)
        if second:
            progress(Sentence("loading {}", short(second)), None)
            if second in by_layers:
                draft_model = by_layers[second].model
            else:
                draft_model = load_model(fetched[1].folder, read_on, dtype, second)
            share_vocabulary(model, draft_model, tokenizer, difference)
        if read_first:  # ZeroGPU's device is not there yet
            for read in filter(None, (model, draft_model)):
                check_stepwise(read)
        if second and second not in by_layers:
            draft_model.to(device)
        if used_as == torch.int8:
            for model_id, read in zip(models, (model, draft_model), strict=False):
                if model_id in by_layers:
                    by_layers[model_id].fill()
                else:
                    quantize_model(read)
        # ZeroGPU's device is not there yet, and another process has it each time.
        options = {"graphs": not read_first, "measure": not read_first, "consume": True}
        target = make_runner(model, device) if spread else make_runner(model.to(device), **options)
        if used_as == torch.int8:
            _check_int8(preset, target)
        if preset.drafter:
            drafter = load_feature_drafter(PROJECT / preset.drafter, target, target.embeddings.to(device))
        else:
            vocab = drafted_vocabulary(tokenizer, difference)
            drafter = IndependentDrafter(
                make_runner(draft_model, **options) if second else target,
                None if vocab is None else vocab.to(device),
            )
    ends = end_tokens(model, encoder, template)
    parts = model.hf_device_map.values() if spread else ()
    model = draft_model = read = by_layers = None  # where weights are packed, nobody needs them as they were
    give_back_memory()

    pair = Pair(
        name=preset.name,
        target=target,
        drafter=drafter,
        tokenizer=tokenizer,
        device=device,
        dtype=used_as,
        target_name=preset.target,
        draft_name=preset.draft_name,
        weights="; ".join([*(weights.origin for weights in fetched), *notes]),
        eos_ids=ends,
        spread=tuple(dict.fromkeys(f"cuda:{part}" for part in parts)),
        encoder=encoder,
        read_draft=None if read_first else make_read_draft(device),
        choose=make_choose(device),
    )
    progress(Sentence("ready on {}", pair.runs_on), 1.0)
    return pair


def _open_by_layers(
    models: dict[str, Weights], rows: dict[str | None, int], progress: Progress
) -> dict[str, Layerwise]:
    """Those models that can be read layer by layer and have as many rows of the vocabulary as `rows` says."""
    from adaedl.models.cpu.layerwise import open_layerwise

    opened = {}
    for model_id, weights in models.items():
        layerwise = open_layerwise(weights.folder, short(model_id))
        if layerwise and layerwise.rows >= rows.get(model_id, 0):
            layerwise.progress = partial(progress, Sentence("loading {}", short(model_id)))
            layerwise.errors = partial(_load_errors, model_id, "causal language model")
            opened[model_id] = layerwise
    return opened


def _check_int8(preset: Preset, target: Runner) -> None:
    """Raises UserError where a target in int8 is not one whose numbers do not depend on how many tokens are
    verified at once: nothing would be lossless to it."""
    import torch

    from adaedl.models.cpu.families import FAMILIES
    from adaedl.models.cpu.packed import PackedModel, same_bits

    if not isinstance(target, PackedModel) or not same_bits(target, torch.arange(10), 5):
        raise UserError(
            "int8 is for models of the families {} on a CPU that gives each token the same numbers alone and "
            "beside others; {} here is none, choose the dtype auto.",
            ", ".join(FAMILIES),
            preset.name,
        )


def _placement(preset: Preset, target_bytes: int, draft_bytes: int = 0) -> Placement:
    """Where the weights of a pair go on the GPUs of this machine."""
    from adaedl.pairs.placement import Placement, place, visible_gpus

    gpus = visible_gpus()
    if len(gpus) == 1:
        return Placement(gpus[0].name)
    return place(preset.name, target_bytes, draft_bytes, gpus)


def _check_shape(folder: Path, held: int, name: str) -> None:
    """Raises UserError where a model's configuration asks for more weights than its files hold, so many: what
    is missing would be made up, however large it is."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), _load_errors(name, "causal language model"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        asked = sum(weights.numel() for weights in model.parameters())  # those that are tied count once
    if asked > 1.05 * held:
        raise _misfit(name)


def _check_layers(folder: Path, name: str) -> None:
    """Raises UserError where a model's configuration asks for more layers than any model has: a list of them,
    which is made whenever that is read, could fill the memory."""
    with _load_errors(name, "configuration"):
        parts = [json.loads((folder / "config.json").read_text("utf-8"))]
        for part in parts:
            parts += [value for value in part.values() if isinstance(value, dict)]
            for key, value in part.items():
                if "layer" in key and isinstance(value, int | float) and value > MOST_LAYERS:
                    raise _misfit(name)


def _misfit(name: str) -> UserError:
    return UserError("The configuration of {} does not fit its files; choose another model.", name)


def _check_memory(name: str, size: int, free: int | None) -> None:
    """Raises UserError where weights of so many bytes do not fit the memory, None where that is unknown."""
    from adaedl.pairs.placement import ROOM

    if free is not None and ROOM * size > free:
        raise UserError(
            "{} needs about {:.1f} GiB of memory, and {:.1f} GiB are free here; choose a smaller pair, such "
            "as {}.",
            name,
            ROOM * size / 2**30,
            free / 2**30,
            DEFAULT_PAIR,
        )


def _for_accelerate(name: str, spread: dict[str, int]) -> dict[int | str, int]:
    """What each device may hold, under the names that accelerate gives them.

    Raises:
        UserError: there is no accelerate.
    """
    if find_spec("accelerate") is None:
        raise UserError(
            "{} does not fit one GPU, and the package accelerate, which shares it out to several, is not "
            "there; install it with: pip install accelerate",
            name,
        )
    return {int(device.rpartition(":")[2]): most for device, most in spread.items()} | {"cpu": 0}


@contextlib.contextmanager
def _load_errors(name: str, what: str) -> Iterator[None]:
    """transformers refuses a model with whatever exception came up; keep its first line."""
    try:
        yield
    except BaseException as error:
        if not is_failure(error) or is_out_of_memory(error) or isinstance(error, UserError):
            raise
        refusal = "{} has no {} that can be loaded: {}"
        if "trust_remote_code" in str(error):
            reason = Sentence("it needs code of its own, which is never run here")
            raise UserError(refusal, name, what, reason) from error
        raise Unreadable(name, refusal, name, what, first_line(error)) from error


@contextlib.contextmanager
def _unreadable(name: str) -> Iterator[None]:
    """Take a refusal for one that a damaged file may be the reason of."""
    try:
        yield
    except UserError as error:
        raise Unreadable(name, error.sentence.template, *error.sentence.values) from error
