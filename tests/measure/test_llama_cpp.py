"""llama.cpp as a reference: its weights and its work. Building it takes as long as all tests, so a substitute
reads the same file here."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from toys import tiny_llama, tiny_pair, tiny_qwen2
from transformers import AutoModelForCausalLM

from adaedl.errors import UserError
from adaedl.measure.bench import LOOKUP_TOKENS, bench
from adaedl.measure.peers import llama_cpp
from adaedl.measure.peers import transformers as reference
from adaedl.measure.peers.llama_cpp import LlamaCpp, write_gguf
from adaedl.models.transformers import TransformersRunner
from adaedl.request import Sampling


def read_gguf(path: Path):
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


class FakeLlama:
    """llama_cpp.Llama on transformers: greedy, and with drafts verified like in llama-cpp-python."""

    def __init__(self, path: str, **settings):
        self.model = read_gguf(Path(path))
        self.path, self.settings = Path(path), settings
        self.seed = None

    def set_seed(self, seed: int) -> None:
        self.seed = seed

    def choose(self, text: list[int]) -> int:
        with torch.inference_mode():
            return int(self.model(torch.tensor([text])).logits[0, -1].argmax())

    def generate(self, tokens, temp, top_k, top_p, min_p):
        assert (temp, top_k, top_p, min_p) == (0, 0, 1, 0)
        text, drafts = list(tokens), []
        while True:
            token = self.choose(text)
            yield token
            text.append(token)
            while drafts and token == drafts.pop(0):
                token = self.choose(text)
                yield token
                text.append(token)
            drafts = self.draft_model(np.array(text)).tolist()


class FakeLookup:
    """Prompt lookup that returns the continuation in `text`."""

    text: ClassVar[list[int]] = []

    def __init__(self, num_pred_tokens: int = 10):
        self.drafts = num_pred_tokens

    def __call__(self, token_ids: np.ndarray) -> np.ndarray:
        return np.array(self.text[len(token_ids) :][: self.drafts], int)


@pytest.fixture
def fake_package(monkeypatch):
    package, speculative = ModuleType("llama_cpp"), ModuleType("llama_cpp.llama_speculative")
    package.Llama, speculative.LlamaPromptLookupDecoding = FakeLlama, FakeLookup
    package.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "llama_cpp", package)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_speculative", speculative)
    monkeypatch.setattr(llama_cpp, "version", lambda package: f"{package} 0")


@pytest.mark.parametrize("make", [tiny_llama, tiny_qwen2])
def test_the_file_for_llama_cpp_has_the_weights_of_the_target(make, tmp_path):
    model, ids = make(), torch.arange(12)[None]
    write_gguf(model, tmp_path / "model.gguf", "F32")
    assert torch.equal(read_gguf(tmp_path / "model.gguf")(ids).logits, model(ids).logits)


def test_the_weights_of_an_int8_pair_are_quantised_in_blocks_of_32(tmp_path):
    model = tiny_llama()
    write_gguf(model, tmp_path / "model.gguf", "Q8_0")
    quantised = read_gguf(tmp_path / "model.gguf").state_dict()
    for name, weight in model.state_dict().items():
        if weight.dim() == 2 and weight.shape[1] % 32 == 0:
            blocks = weight.unflatten(1, (-1, 32))
            step = blocks.abs().amax(-1, keepdim=True) / 127
            error = (quantised[name].unflatten(1, (-1, 32)) - blocks).abs()
            assert error.max() > 0
            # Half a step, plus up to 127 times the rounding error of a scale in half precision.
            assert (error <= 0.57 * step).all()
        else:
            assert torch.equal(quantised[name], weight)


def test_its_text_ends_like_ours_and_its_work_is_counted(fake_package, monkeypatch):
    pair = tiny_pair(runner=TransformersRunner)
    engine = LlamaCpp(pair, reference.target_model(pair), 100)
    assert not engine.model.path.exists()
    assert engine.model.settings["n_ctx"] == 100
    assert engine.model.settings["n_threads"] == torch.get_num_threads()

    plain, work = engine.generate([1, 2, 3], Sampling(0), max_new_tokens=21, seed=7)
    assert engine.model.seed == 7
    assert len(plain) == 21
    assert (work.tokens, work.rounds, work.drafted, work.accepted) == (20, 20, 0, 0)

    # The first token comes with the prefill. Then five rounds have three drafts and a token of the target.
    monkeypatch.setattr(FakeLookup, "text", [1, 2, 3, *plain])
    drafting, work = engine.generate([1, 2, 3], Sampling(0), max_new_tokens=21, lookup=True, drafts=3)
    assert drafting == plain
    assert (work.tokens, work.rounds, work.drafted, work.accepted) == (20, 5, 15, 15)

    monkeypatch.setattr(FakeLookup, "text", [1, 2, 3, *(token + 1 for token in plain)])
    drafting, work = engine.generate([1, 2, 3], Sampling(0), max_new_tokens=21, lookup=True)
    assert drafting == plain
    assert (work.tokens, work.rounds, work.accepted) == (20, 20, 0)

    end = plain[5]
    engine.eos_ids = {end}
    shorter, work = engine.generate([1, 2, 3], Sampling(0), max_new_tokens=21)
    assert shorter == plain[: plain.index(end) + 1]
    assert work.tokens == len(shorter) - 1


def test_the_bench_runs_it_if_it_is_installed(fake_package):
    result = bench(tiny_pair(runner=TransformersRunner), ["w1 w2 w3"], ["fixed:k=2"], [0], max_new_tokens=12)
    assert result["machine"]["llama-cpp-python"] == "llama-cpp-python 0"
    rows = {(r["system"], r["lane"]): r for r in result["results"] if r["system"].startswith("llama_cpp")}
    assert set(rows) == {
        ("llama_cpp_generate", "generate"),
        ("llama_cpp_prompt_lookup", "defaults"),
        ("llama_cpp_prompt_lookup", f"lookup:k={LOOKUP_TOKENS}"),
    }
    assert all(row["tokens"] == 11 and row["tokens_per_s"] > 0 for row in rows.values())
    assert rows["llama_cpp_generate", "generate"]["block_efficiency"] == 1


def test_a_failure_to_load_gives_one_sentence(fake_package, monkeypatch):
    def refuse(path: str, **settings):
        raise ValueError(f"Failed to load model from file: {path}")

    monkeypatch.setattr(sys.modules["llama_cpp"], "Llama", refuse)
    with pytest.raises(UserError, match=r"does not run here .*uninstall it to measure without"):
        bench(tiny_pair(runner=TransformersRunner), ["w1"], ["fixed:k=2"], [0], max_new_tokens=4)
