"""The pairs that can be chosen by name, and the syntax for any other pair."""

import re
from dataclasses import dataclass
from pathlib import Path

from adaedl.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_PAIR = "smollm2-135m"
SHIPPED_DRAFTER = "assets/drafter.safetensors"
MODEL = r"\s*([A-Za-z]:[\\/][^:]*|(?![A-Za-z]:[\\/])[^:]*[^:\s])\s*"  # a drive may have a colon: C:\\models
DTYPES = ("float32", "bfloat16", "float16", "int8")  # that weights are used in


@dataclass(frozen=True)
class Preset:
    """Names of a target and of what drafts for it; nothing is loaded.

    Attributes:
        name: what is typed after --pair.
        target: a Hub model id, or a local folder.
        draft: a Hub model id or folder; None where a trained feature drafter drafts.
        description: one line for the page and the command line.
        min_memory_gib: memory of the device that both fit in, with caches, in the dtype that
            `pick_dtype` gives there; 0 where it isn't known.
        gated: the Hub asks for an accepted licence and a token.
        drafter: the feature drafter's file, relative to the project's folder; None where `draft` is set.
    """

    name: str
    target: str
    draft: str | None
    description: str
    min_memory_gib: float
    gated: bool = False
    drafter: str | None = None

    @property
    def draft_name(self) -> str:
        """What drafts, in words."""
        return self.draft or f"feature drafter {self.drafter}"

    @property
    def separate_draft(self) -> str | None:
        """The draft's name where that is a model of its own."""
        return None if self.drafter or self.drafts_for_itself else self.draft

    @property
    def drafts_for_itself(self) -> bool:
        """Whether one model is both target and draft, so that its weights are loaded once."""
        return self.draft == self.target


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name=DEFAULT_PAIR,
            target="HuggingFaceTB/SmolLM2-135M-Instruct",
            draft=None,
            drafter=SHIPPED_DRAFTER,
            description="SmolLM2-135M-Instruct with the shipped one-layer drafter; runs on any machine",
            min_memory_gib=2,
        ),
        Preset(
            name="smollm2-1.7b",
            target="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            draft="HuggingFaceTB/SmolLM2-135M-Instruct",
            description="SmolLM2-1.7B-Instruct, SmolLM2-135M-Instruct drafts; a small GPU",
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
    """Return the preset that needs most of `memory_gib`, gated ones left out; the default pair where none
    fits."""
    fitting = [p for p in PRESETS.values() if not p.gated and p.min_memory_gib <= memory_gib]
    return max(fitting, key=lambda preset: preset.min_memory_gib, default=PRESETS[DEFAULT_PAIR])


def resolve(name_or_spec: str) -> Preset:
    """Return the preset of that name, or the pair written as "TARGET:DRAFT", two Hub ids or folders.

    "X:X" lets X draft for itself.

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
    own = "drafts for itself" if target == draft else f"{draft} drafts"
    return Preset(f"{target}:{draft}", target, draft, f"{target}, {own}", min_memory_gib=0)


def short_name(model_id: str) -> str:
    """Return a Hub id without its owner."""
    return model_id.rpartition("/")[2]
