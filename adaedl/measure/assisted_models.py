"""The models for measuring assisted generation: the models of a pair, and a small pair of random weights with
a target that costs four times as much as its draft."""

import torch
from torch import nn

from adaedl.errors import UserError
from adaedl.measure.peers import transformers as reference
from adaedl.measure.peers.assisted import ModelPair
from adaedl.pairs.pair import Pair

FOUR_TO_ONE = "four-to-one"
# The target of this pair. Its first quarter of layers is the draft.
CONFIG = {
    "vocab_size": 4096,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
}
PROMPT_TOKENS = 32
LOGIT_SPREAD = 7.0  # gives an entropy of about 1.3 nats, like a language model on ordinary text
# AdaEDL tuned for this pair: the fastest of four settings at temperatures 0 and 0.7.
TUNED = "adaedl:threshold=0.5,score_temperature=1.0"
# How much a layer of the draft and a layer of the target alone add to the hidden state. With the small scale
# of the target's layers, the two models agree on about 3 tokens in 4.
DRAFT_LAYER_SCALE, TARGET_LAYER_SCALE = 2.0, 0.15


def models_of(pair: Pair, prompts: list[str]) -> ModelPair:
    """Return a pair's models as plain transformers models (see `reference.target_model` and `draft_model`).

    Raises:
        UserError: the pair has no draft model, or a prompt or weights cannot be read.
    """
    if pair.drafter.kind != "independent":
        raise without_draft_model(pair.name)
    target = reference.target_model(pair)
    return ModelPair(
        name=pair.name,
        description=f"{pair.target_name} in {pair.dtype_name}; draft: {pair.draft_name}",
        target=target,
        draft=reference.draft_model(pair, target),
        prompts=[pair.encode(prompt) for prompt in prompts],
        lanes=lanes_with(pair.tuned),
        eos_ids=pair.eos_ids,
    )


def lanes_with(tuned: str | None) -> tuple[str, ...]:
    """Return the stoppers to measure: AdaEDL as published, AdaEDL tuned for the pair if there is such a
    setting, and two rules that often win in docs/study.md."""
    return ("adaedl", *([tuned] if tuned else []), "throughput", "survival")


def without_draft_model(name: str) -> UserError:
    """Return the error for a pair without a draft model."""
    return UserError(
        "{} drafts with a feature drafter, which transformers cannot use; choose a pair with a draft model, "
        "such as smollm2-135m-self.",
        name,
    )


def four_to_one(prompts: int, device: torch.device, **changes) -> ModelPair:
    """Return a Llama with random float32 weights, and its first quarter of layers as the draft.

    The other layers add little to the hidden state, which determines how often the two models agree. As with
    real models, the draft agrees less where it is less certain.

    Args:
        prompts: the number of prompts of random tokens.
        changes: changes to CONFIG.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = CONFIG | changes
    layers = config["num_hidden_layers"]
    target, draft = (
        LlamaForCausalLM(LlamaConfig(**config | {"num_hidden_layers": count})).eval().requires_grad_(False)
        for count in (layers, layers // 4)
    )
    _randomise(target, layers // 4)
    inner, first = target.model, draft.model
    first.embed_tokens, first.norm, draft.lm_head = inner.embed_tokens, inner.norm, target.lm_head
    first.layers = nn.ModuleList(inner.layers[: layers // 4])
    generator = torch.Generator().manual_seed(1)  # TUNED was found on texts of another seed
    texts = torch.randint(config["vocab_size"], (prompts, PROMPT_TOKENS), generator=generator)
    return ModelPair(
        name=FOUR_TO_ONE,
        description=(
            f"a Llama of {layers} layers with random weights in float32; draft: its first {layers // 4} "
            "layers; scripted agreement"
        ),
        target=target.to(device),
        draft=draft.to(device),
        prompts=list(texts.to(device)),
        lanes=lanes_with(TUNED),
    )


def _randomise(model, draft_layers: int) -> None:
    """Give a Llama random weights. The layers after the first `draft_layers` add little."""
    generator = torch.Generator().manual_seed(0)
    scales = {"embed_tokens": model.config.hidden_size**0.5, "lm_head": LOGIT_SPREAD}
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            continue
        weight.normal_(std=weight.shape[1] ** -0.5, generator=generator)
        parts = name.split(".")
        weight.mul_(scales.get(parts[-2], 1.0))
        if parts[-2] in ("o_proj", "down_proj"):
            weight.mul_(DRAFT_LAYER_SCALE if int(parts[2]) < draft_layers else TARGET_LAYER_SCALE)
