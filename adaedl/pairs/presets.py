"""The pairs that can be chosen by name, and the syntax for any other pair."""

import re
from dataclasses import dataclass
from pathlib import Path

from adaedl.errors import UserError
from adaedl.request import DEFAULT_LANES

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_PAIR = "smollm2-135m"
SHIPPED_DRAFTER = "assets/drafter.safetensors"
MODEL = r"\s*([A-Za-z]:[\\/][^:]*|(?![A-Za-z]:[\\/])[^:]*[^:\s])\s*"  # a drive may have a colon: C:\\models
DTYPES = ("float32", "bfloat16", "float16", "int8")  # that weights are used in
BITS = range(2, 9)  # that the weights of a copy are rounded to
# AdaEDL's settings for a pair, beside the published ones: of those in docs/study.md the fastest on average
# over temperatures and verification rules, at the measured cost of a draft step.
TUNED = {
    "smollm2-135m": "adaedl:threshold=0.2,score_temperature=1.0",
    "smollm2-135m-int8": "adaedl:threshold=0.3,score_temperature=1.0",
    "smollm2-135m-self": "adaedl:threshold=0.2,score_temperature=1.0",
}


@dataclass(frozen=True)
class Preset:
    """Names of a target and of what drafts for it; nothing is loaded.

    Attributes:
        name: what is typed after --pair.
        target: a Hub model id, or a local folder.
        draft: a Hub model id or folder; None where something else drafts.
        description: one line for the page and the command line; what the pair teaches.
        min_memory_gib: memory of the device that both fit in, with caches, in the dtype that
            `pick_dtype` gives there; 0 where it isn't known.
        gated: the Hub asks for an accepted licence and a token.
        drafter: the feature drafter's file, relative to the project's folder; None where something else
            drafts.
        draft_bits: how many bits the weights of the target's own copy have, where that copy drafts (in the
            int8 kernels); None where something else drafts.
        dtype: the dtype that the pair is defined in; None where the caller chooses.
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
        """What drafts, in words."""
        if self.draft_bits:
            return f"int{self.draft_bits} copy of {self.target}"
        return self.draft or f"feature drafter {self.drafter}"

    @property
    def separate_draft(self) -> str | None:
        """The draft's name where that is a model of its own."""
        return None if self.drafts_for_itself else self.draft

    @property
    def drafts_for_itself(self) -> bool:
        """Whether one model is both target and draft, so that its weights are loaded once."""
        return self.draft == self.target

    @property
    def needs_int8(self) -> bool:
        """Whether the pair runs only where int8 is fast."""
        return self.dtype == "int8" or self.draft_bits is not None

    @property
    def tuned(self) -> str | None:
        """The spec of AdaEDL with settings for this pair; None where nobody has looked for any."""
        return TUNED.get(self.name)

    @property
    def lanes(self) -> tuple[str, ...]:
        """The specs of the lanes that race where nobody names any: AdaEDL as published, and as tuned."""
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
                "SmolLM2-135M-Instruct in int8 with the same drafter; a CPU with AVX-512 VNNI. A draft step "
                "costs what it costs in the paper (c about 0.1)"
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
                "SmolLM2-135M-Instruct, its own int8 copy drafts; a CPU with AVX-512 VNNI. An expensive, "
                "well-aligned draft (c about 0.3): quantised self-speculation"
            ),
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-360m",
            target="HuggingFaceTB/SmolLM2-360M-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            description="SmolLM2-360M-Instruct, SmolLM2-135M-Instruct drafts; a CPU with 4 GiB",
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-1.7b",
            target="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            description="SmolLM2-1.7B-Instruct, SmolLM2-135M-Instruct drafts; a GPU, or a CPU with 9 GiB",
            min_memory_gib=6,
        ),
        Preset(
            name="smollm2-1.7b-int8",
            target="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            dtype="int8",
            description="the same two models in int8; a CPU with AVX-512 VNNI and 4 GiB",
            min_memory_gib=4,
        ),
        Preset(
            name="qwen2.5-1.5b",
            target="Qwen/Qwen2.5-1.5B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description=("Qwen2.5-1.5B-Instruct, Qwen2.5-0.5B-Instruct drafts; a GPU, or a CPU with 10 GiB"),
            min_memory_gib=6,
        ),
        Preset(
            name="pythia-6.9b",
            target="EleutherAI/pythia-6.9b",
            draft="EleutherAI/pythia-70m",
            description="Pythia-6.9B, Pythia-70M drafts; base models that continue a text; a GPU with 16 GiB",
            min_memory_gib=16,
        ),
        Preset(
            name="qwen2.5-7b",
            target="Qwen/Qwen2.5-7B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description="Qwen2.5-7B-Instruct, Qwen2.5-0.5B-Instruct drafts; a GPU with 20 GiB",
            min_memory_gib=19,
        ),
        Preset(
            name="llama-3.1-8b",
            target="meta-llama/Llama-3.1-8B-Instruct",
            draft="meta-llama/Llama-3.2-1B-Instruct",
            description=(
                "Llama-3.1-8B-Instruct, Llama-3.2-1B-Instruct drafts; a GPU with 24 GiB; gated: accept "
                "both licences on huggingface.co and set HF_TOKEN"
            ),
            min_memory_gib=21,
            gated=True,
        ),
        Preset(
            name="qwen2.5-14b",
            target="Qwen/Qwen2.5-14B-Instruct",
            draft="Qwen/Qwen2.5-0.5B-Instruct",
            description="Qwen2.5-14B-Instruct, Qwen2.5-0.5B-Instruct drafts; a GPU with 40 GiB",
            min_memory_gib=34,
        ),
    )
}


def largest_that_fits(memory_gib: float) -> Preset:
    """Return the preset that needs most of a GPU's `memory_gib`, gated ones left out; the default pair where
    none fits."""
    on_gpus = [p for p in PRESETS.values() if not p.gated and not p.needs_int8]
    fitting = [p for p in on_gpus if p.min_memory_gib <= memory_gib]
    return max(fitting, key=lambda preset: preset.min_memory_gib, default=PRESETS[DEFAULT_PAIR])


def resolve(name_or_spec: str) -> Preset:
    """Return the preset of that name, or the pair written as "TARGET:DRAFT", two Hub ids or folders.

    "X:X" lets X draft for itself. With "X:int8" its own int8 copy drafts, and with "X:int2" to "X:int7" the
    same with weights rounded to fewer bits: that is emulated, so it agrees less and costs what int8 costs.

    Raises:
        UserError: it is neither; the message lists the presets and the syntax.
    """
    text = (name_or_spec or "").strip()
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
    """Return the pair of a target and its own copy with weights of this many bits.

    Raises:
        UserError: the kernels have no such number of bits.
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
