"""Small transformers models to generate with, each with a draft that sometimes agrees with it."""

import copy

import torch
from toys import tiny_family, tiny_llama, tiny_qwen2

from adaedl.generation import generate

PROMPT = torch.arange(5, 12)[None]
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "llama": tiny_llama,
    "qwen2": tiny_qwen2,
    "gpt_neox": lambda: tiny_family("gpt_neox"),
    "gemma": lambda: tiny_family("gemma"),
    "gemma2": lambda: tiny_family("gemma2", layer_types=LAYERS, sliding_window=5),
    "gemma3": lambda: tiny_family("gemma3_text"),
}


def disturbed(model, spread: float = 0.03):
    """Return a copy with slightly different weights."""
    draft = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    for weight in draft.parameters():
        weight += spread * torch.randn(weight.shape, generator=generator)
    return draft


def small_pair(family: str = "llama"):
    """Return a target that never ends its text itself, and its draft."""
    target = FAMILIES[family]()
    target.generation_config.pad_token_id = 0
    target.generation_config.eos_token_id = None
    return target, disturbed(target)


def adaptive(target, draft, ids=PROMPT, **arguments):
    """Return what a target writes with a draft: transformers' output with its rounds."""
    arguments = {"stopper": "fixed:k=4", "max_new_tokens": 40} | arguments
    return target.generate(
        ids, custom_generate=generate, assistant_model=draft, return_dict_in_generate=True, **arguments
    )


def plain(target, ids=PROMPT, **arguments) -> list[list[int]]:
    """Return what the target writes alone."""
    return target.generate(ids, **{"max_new_tokens": 40} | arguments).tolist()
