"""Presets as in the paper, two models of one family, on tiny models with the same attention and ties."""

import pytest
import torch
from toys import toy_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from adaedl.measure.check import check
from adaedl.measure.shapes import SHAPES
from adaedl.pairs import loading
from adaedl.pairs.loading import load_pair
from adaedl.pairs.presets import PRESETS

LIKE = {
    "smollm2-360m": "360m+135m",
    "smollm2-1.7b": "1.7b+135m",
    "smollm2-1.7b-int8": "1.7b+135m",
    "qwen2.5-1.5b": "1.5b+0.5b",
}
WORDS = 260  # 256 bytes, and control tokens


def save_tiny(config: dict, folder, seed: int) -> None:
    """Save a model with two narrow layers and the heads, biases and ties of a configuration."""
    width = 4 * config["num_attention_heads"]
    small = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2}
    words = {"vocab_size": WORDS, "bos_token_id": None, "eos_token_id": None, "max_position_embeddings": 64}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**{**config, **small, **words}))
    model.save_pretrained(folder)
    tokenizer = toy_tokenizer(WORDS)
    if config["model_type"] == "qwen2":  # transformers accepts no other tokenizer for it
        tokenizer = Qwen2Tokenizer(
            vocab={byte: i for i, byte in enumerate(bytes_to_unicode().values())}, merges=[]
        )
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("name", LIKE)
def test_a_pair_of_this_shape_loads_and_is_lossless(name, tmp_path, monkeypatch):
    shape, preset = SHAPES[LIKE[name]], PRESETS[name]
    for seed, (config, model) in enumerate(((shape.target, "target"), (shape.draft, "draft"))):
        save_tiny(config, tmp_path / model, seed)
    monkeypatch.setattr("adaedl.models.cpu.backends.multiplies_int8", lambda: True)  # on any machine
    monkeypatch.setattr(loading, "check_runs_here", lambda preset, device: None)
    pair = load_pair(f"{tmp_path / 'target'}:{tmp_path / 'draft'}", device="cpu", dtype=preset.dtype)
    path = "kernels int8" if preset.dtype == "int8" else "kernels"
    assert (pair.target.path, pair.drafter.runner.path) == (path, path)
    results = list(check(pair, ["w1 w2 w3"], max_new_tokens=8, draws=300))
    assert all(result.passed for result in results), results
    assert SHAPES[LIKE[name]].like.split(",")[0] in preset.target
