"""The pairs that can be chosen by name, and the syntax for any other pair."""

import re
from dataclasses import dataclass

from adaedl.errors import UserError
from adaedl.request import DEFAULT_LANES

DEFAULT_PAIR = "smollm2-135m"
SHIPPED_DRAFTER = "assets/drafter.safetensors"
MODEL = r"\s*([A-Za-z]:[\\/][^:]*|(?![A-Za-z]:[\\/])[^:]*[^:\s])\s*"  # a drive may have a colon: C:\\models
DTYPES = ("float32", "bfloat16", "float16", "int8")  # of weights in use
BITS = range(2, 9)  # of the weights of a target's own copy
# AdaEDL's tuned settings by pair: the settings in docs/study.md that are fastest on average over temperatures
# and verification rules, at the measured cost of a draft step.
TUNED = {
    "smollm2-135m": "adaedl:threshold=0.2,score_temperature=1.0",
    "smollm2-135m-int8": "adaedl:threshold=0.3,score_temperature=1.0",
    "smollm2-135m-self": "adaedl:threshold=0.2,score_temperature=1.0",
}


@dataclass(frozen=True)
class Preset:
    """The names of a target and its drafter; nothing is loaded.

    Attributes:
        name: the value of --pair.
        target: a Hub model id or a local folder.
        draft: a Hub model id or folder; None if something else drafts.
        description: one line for the page and the command line on what the pair demonstrates.
        min_memory_gib: the device memory that both models need, with caches, in the dtype that `pick_dtype`
            returns for the device; 0 if unknown.
        gated: whether the Hub requires an accepted licence and a token.
        drafter: the feature drafter's file, see `adaedl.system.shipped`; None if something else drafts.
        draft_bits: bits per weight of the target's own copy, which drafts in the int8 kernels; None if
            something else drafts.
        dtype: the dtype that the pair is defined in; None if the caller may choose.
    """

    name: str
    target: str
    draft: str | None
    description: str
    min_memory_gib: float
    gated: bool = False
    drafter: str | None = None
    draft_bits: int | None = None
    dtype: str | None = None

    @property
    def draft_name(self) -> str:
        """A description of the drafter."""
        if self.draft_bits:
            return f"int{self.draft_bits} copy of {self.target}"
        return self.draft or f"feature drafter {self.drafter}"

    @property
    def separate_draft(self) -> str | None:
        """The name of the draft model, or None if no separate model drafts."""
        return None if self.drafts_for_itself else self.draft

    @property
    def drafts_for_itself(self) -> bool:
        """Whether one model is both target and draft. Its weights are then loaded only once."""
        return self.draft == self.target

    @property
    def needs_int8(self) -> bool:
        """Whether the pair runs only on machines where int8 is fast."""
        return self.dtype == "int8" or self.draft_bits is not None

    @property
    def tuned(self) -> str | None:
        """AdaEDL's spec with settings tuned for this pair; None if it has not been tuned."""
        return TUNED.get(self.name)

    @property
    def lanes(self) -> tuple[str, ...]:
        """The specs of the default lanes: the general ones, and AdaEDL as tuned for this pair."""
        return (*DEFAULT_LANES, self.tuned) if self.tuned else DEFAULT_LANES


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name=DEFAULT_PAIR,
            target="HuggingFaceTB/SmolLM2-135M-Instruct",
            draft=None,
            drafter=SHIPPED_DRAFTER,
            description=(
                "SmolLM2-135M-Instruct with the shipped one-layer drafter; runs on any machine. Drafting is "
                "nearly free (c about 0.03)"
            ),
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-135m-int8",
            target="HuggingFaceTB/SmolLM2-135M-Instruct",
            draft=None,
            drafter=SHIPPED_DRAFTER,
            dtype="int8",
            description=(
                "SmolLM2-135M-Instruct in int8 with the same drafter; needs a CPU with AVX-512 VNNI. A draft "
                "step costs as much as in the paper (c about 0.1)"
            ),
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-135m-self",
            target="HuggingFaceTB/SmolLM2-135M-Instruct",
            draft=None,
            draft_bits=8,
            dtype="float32",
            description=(
                "SmolLM2-135M-Instruct, drafted by its own int8 copy; needs a CPU with AVX-512 VNNI. An "
                "expensive, well-aligned draft (c about 0.3): quantised self-speculation"
            ),
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-360m",
            target="HuggingFaceTB/SmolLM2-360M-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            description="SmolLM2-360M-Instruct, drafted by SmolLM2-135M-Instruct; needs a CPU with 4 GiB",
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-1.7b",
            target="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            description=(
                "SmolLM2-1.7B-Instruct, drafted by SmolLM2-135M-Instruct; needs a GPU or a CPU with 9 GiB"
            ),
            min_memory_gib=6,
        ),
        Preset(
            name="smollm2-1.7b-int8",
            target="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            dtype="int8",
            description=(
                "SmolLM2-1.7B-Instruct, drafted by SmolLM2-135M-Instruct, both in int8; needs a CPU with "
                "AVX-512 VNNI and 4 GiB"
            ),
            min_memory_gib=4,
        ),
        Preset(
            name="qwen2.5-1.5b",
            target="Qwen/Qwen2.5-1.5B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description=(
                "Qwen2.5-1.5B-Instruct, drafted by Qwen2.5-0.5B-Instruct; needs a GPU or a CPU with 10 GiB"
            ),
            min_memory_gib=6,
        ),
        Preset(
            name="pythia-6.9b",
            target="EleutherAI/pythia-6.9b",
            draft="EleutherAI/pythia-70m",
            description=(
                "Pythia-6.9B, drafted by Pythia-70M; base models, which continue a text; needs a GPU with "
                "16 GiB"
            ),
            min_memory_gib=16,
        ),
        Preset(
            name="qwen2.5-7b",
            target="Qwen/Qwen2.5-7B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description="Qwen2.5-7B-Instruct, drafted by Qwen2.5-0.5B-Instruct; needs a GPU with 20 GiB",
            min_memory_gib=19,
        ),
        Preset(
            name="llama-3.1-8b",
            target="meta-llama/Llama-3.1-8B-Instruct",
            draft="meta-llama/Llama-3.2-1B-Instruct",
            description=(
                "Llama-3.1-8B-Instruct, drafted by Llama-3.2-1B-Instruct; needs a GPU with 24 GiB; gated: "
                "accept both licences on huggingface.co and set HF_TOKEN"
            ),
            min_memory_gib=21,
            gated=True,
        ),
        Preset(
            name="qwen2.5-14b",
            target="Qwen/Qwen2.5-14B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description="Qwen2.5-14B-Instruct, drafted by Qwen2.5-0.5B-Instruct; needs a GPU with 40 GiB",
            min_memory_gib=34,
        ),
    )
}


def largest_that_fits(memory_gib: float) -> Preset:
    """Return the largest preset that fits into a GPU's `memory_gib`, without gated presets, or the default
    pair if none fits."""
    on_gpus = [p for p in PRESETS.values() if not p.gated and not p.needs_int8]
    fitting = [p for p in on_gpus if p.min_memory_gib <= memory_gib]
    return max(fitting, key=lambda preset: preset.min_memory_gib, default=PRESETS[DEFAULT_PAIR])


def resolve(name_or_spec: str) -> Preset:
    """Return the preset with this name, or the pair that is written as "TARGET:DRAFT", two Hub ids or
    folders.

    With "X:X" the model X drafts for itself. With "X:int8" its own int8 copy drafts, and with "X:int2" to
    "X:int7" a copy with weights rounded to fewer bits. Fewer bits are emulated, so such a copy agrees less
    with the target and takes as much time as int8.

    Raises:
        UserError: it is neither; the message lists the presets and the syntax.
    """
    text = name_or_spec.strip() if isinstance(name_or_spec, str) else ""
    if text in PRESETS:
        return PRESETS[text]
    models = re.fullmatch(f"{MODEL}:{MODEL}", text)
    if not models:
        raise UserError(
            "There is no pair {!r}; choose one of {}, or write two Hub models that share a "
            "tokenizer as org/target:org/draft.",
            name_or_spec,
            ", ".join(PRESETS),
        )
    target, draft = map(str.strip, models.groups())
    if bits := re.fullmatch(r"int([0-9]+)", draft):
        return _with_own_copy(target, int(bits[1][:4]))
    own = "drafts for itself" if target == draft else f"{draft} drafts"
    return Preset(f"{target}:{draft}", target, draft, f"{target}, {own}", min_memory_gib=0)


def _with_own_copy(target: str, bits: int) -> Preset:
    """Return the pair of a target and its own copy with `bits` bits per weight.

    Raises:
        UserError: the kernels do not support this number of bits.
    """
    if bits not in BITS:
        raise UserError(
            "A target's own copy drafts with weights of {} to {} bits; write {}:int{}.",
            min(BITS),
            max(BITS),
            target,
            max(BITS),
        )
    return Preset(
        name=f"{target}:int{bits}",
        target=target,
        draft=None,
        draft_bits=bits,
        description=f"{target}, its own int{bits} copy drafts",
        min_memory_gib=0,
    )


def short_name(model_id: str) -> str:
    """Return a Hub id without its owner."""
    return model_id.rpartition("/")[2]
