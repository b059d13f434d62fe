"""The bench of shapes, on tiny shapes. No test checks a speed."""

import json
from dataclasses import replace

import pytest
import torch

from adaedl.cli.main import main
from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.measure import shapes
from adaedl.measure.forwards import bytes_to_read
from adaedl.measure.peers import transformers as reference
from adaedl.measure.shapes import (
    SHAPES,
    ScriptedRunner,
    Shape,
    make_pair,
    pick_shapes,
    scripted,
    write_script,
)
from adaedl.models.cpu.int8_linear import quantize_model
from adaedl.models.cpu.layerwise import random_layerwise
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.pairs import loading
from adaedl.request import Sampling
from adaedl.stopping import Fixed

CPU = torch.device("cpu")
TOKENS = 24
TARGET = {
    "model_type": "llama",
    "vocab_size": 160,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
TINY = Shape("tiny", "two tiny Llamas", TARGET, {**TARGET, "num_hidden_layers": 1})


@pytest.fixture(scope="module")
def world():
    """A tiny pair, its two transformers models, a prompt and a script of their logits after it."""
    pair, target, draft = make_pair(TINY, CPU, torch.float32)
    prompt_ids = torch.arange(5)
    script = write_script(160, TOKENS, 0.7, 0, first=len(prompt_ids) - 1, device=CPU, dtype=torch.float32)
    return pair, target, draft, prompt_ids, script


def accepted_by_the_script(script, k: int) -> list[int]:
    """Return the number of accepted drafts of each round with up to k drafts, from the script alone."""
    agrees = (script.draft.argmax(-1) == script.target.argmax(-1)).tolist()
    tokens, counts = 0, []
    while tokens < TOKENS:
        drafted = agrees[tokens : tokens + min(k, TOKENS - tokens - 1)]
        counts.append(drafted.index(False) if False in drafted else len(drafted))
        tokens += counts[-1] + 1
    return counts


def test_the_engine_writes_the_scripted_text_and_accepts_matching_drafts(world):
    pair, _, _, prompt_ids, script = world
    with_script = replace(
        pair,
        target=ScriptedRunner(pair.target, script.target, script.first),
        drafter=IndependentDrafter(ScriptedRunner(pair.drafter.runner, script.draft, script.first)),
    )
    rounds = list(decode(with_script, prompt_ids, Fixed(k=3), Sampling(0), max_new_tokens=TOKENS))
    assert [token for each in rounds for token in each.token_ids] == script.target.argmax(-1).tolist()
    assert [each.accepted for each in rounds] == accepted_by_the_script(script, 3)


def test_transformers_writes_the_same_text_and_accepts_the_same_drafts(world):
    pair, target, draft, prompt_ids, script = world
    with scripted(target, script.target, script.first), scripted(draft, script.draft, script.first):
        token_ids, work = reference.generate(
            pair, target, prompt_ids, Sampling(0), max_new_tokens=TOKENS, assistant=draft, drafts=3
        )
    counts = accepted_by_the_script(script, 3)
    assert token_ids == script.target.argmax(-1).tolist()
    assert work.accepted == sum(counts[1:])  # the first round comes with the prefill
    plain, _ = reference.generate(pair, target, prompt_ids, Sampling(0), max_new_tokens=TOKENS)
    assert plain != token_ids  # without the script, the model has its own logits again


def test_the_scripted_draft_is_calibrated():
    script = write_script(160, 4000, 0.7, 3, first=0, device=CPU, dtype=torch.float32)
    q = script.draft.softmax(-1)
    top, tokens = q.max(-1)
    agrees = (tokens == script.target.argmax(-1)).float()
    assert top.mean().item() == pytest.approx(0.7, abs=0.02)
    assert agrees.mean().item() == pytest.approx(0.7, abs=0.03)
    sure = top > 0.8
    assert agrees[sure].mean().item() == pytest.approx(top[sure].mean().item(), abs=0.03)
    assert q.sum(-1).allclose(torch.ones(4000))


def test_the_command_measures_a_shape_and_its_bandwidth(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    monkeypatch.setattr(shapes, "free_bytes", lambda device: 2**36)  # whatever other processes hold
    path = tmp_path / "shapes.json"
    arguments = ["bench", "--shapes", "tiny", "--device", "cpu", "--lanes", "fixed:k=2,adaedl", "--quick"]
    assert main([*arguments, "--acceptance", "0.6", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert (result["acceptance"], result["max_new_tokens"], result["weights"]) == (0.6, 16, "random")
    [measured] = result["shapes"]
    assert list(measured["target_forward_ms"]) == [str(width) for width in range(1, 9)]
    for width, ms in measured["target_forward_ms"].items():
        over = ms / measured["target"]["weights_read_ms"]
        assert measured["target_forward_over_read"][width] == pytest.approx(over)
    over = measured["draft_step_ms"] / measured["draft"]["weights_read_ms"]
    assert measured["draft_step_over_read"] == pytest.approx(over)
    rows = {(row["system"], row["lane"]): row for row in measured["results"]}
    assert list(rows) == [
        ("adaedl", "autoregressive"),
        ("adaedl", "fixed:k=2"),
        ("adaedl", "adaedl"),
        ("transformers_generate", "generate"),
        ("transformers_assisted", "defaults"),
        ("transformers_assisted", "searched"),
    ]
    assert all(row["tokens_per_s"] > 0 for row in measured["results"])
    out = capsys.readouterr().out
    assert "tiny (two tiny Llamas), random weights, scripted acceptance" in out
    assert "relative to that read" in out


def test_an_int8_shape_is_generated_layer_by_layer_and_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    monkeypatch.setattr(shapes, "free_bytes", lambda device: 2**36)  # whatever other processes hold
    monkeypatch.setattr(loading, "pick_dtype", lambda device, dtype: torch.int8)  # on any machine
    monkeypatch.setattr(shapes, "make_model", None)
    path = tmp_path / "shapes.json"
    arguments = ["bench", "--shapes", "tiny", "--device", "cpu", "--dtype", "int8", "--lanes", "fixed:k=2"]
    assert main([*arguments, "--quick", "--json", str(path)]) == 0
    [measured] = json.loads(path.read_text())["shapes"]
    assert measured["machine"]["dtype"] == "int8"
    assert measured["machine"]["target_path"] == measured["machine"]["draft_path"] == "kernels int8"
    layer, head = 32 * (32 + 2 * 16 + 32) + 3 * 32 * 48, 160 * 32
    norms = 32 * (2 * 2 + 1)
    assert measured["target"]["weights_bytes"] == 2 * layer + head + 4 * norms
    assert measured["draft"]["weights_bytes"] == layer + head + 4 * 32 * 3
    assert list(measured["target_forward_ms"]) == [str(width) for width in range(1, 9)]
    rows = {row["lane"]: row for row in measured["results"]}
    assert list(rows) == ["autoregressive", "fixed:k=2"]
    assert all(row["tokens_per_s"] > 0 for row in rows.values())
    assert set(measured["left_out"]) == {"transformers_generate", "transformers_assisted"}
    assert measured["made_s"] > 0
    assert measured["peak_mib"] > 100
    out = capsys.readouterr().out
    assert "transformers_generate: left out, because int8 layers are generated" in out
    assert "peak memory of this process" in out


def test_an_int8_shape_has_the_quantised_random_weights_of_the_complete_model():
    pair, replacement, _ = make_pair(TINY, CPU, torch.int8)
    layerwise = random_layerwise(TARGET)
    model = shapes.make_model(TARGET, "cpu", torch.float32)
    for name, weight in model.named_parameters():
        weight.copy_(layerwise.source.read(name))
    quantize_model(model)
    assert replacement.bytes == bytes_to_read(model)
    runner, ids = make_runner(model), torch.arange(7)
    expected = runner.forward(ids, runner.new_cache(7)).logits
    assert torch.equal(pair.target.forward(ids, pair.target.new_cache(7)).logits, expected)


def test_an_int8_shape_needs_less_memory_than_a_float32_shape():
    shape = SHAPES["1.7b+135m"]
    gib = {dtype: shapes.needed_bytes(shape, CPU, dtype) / 2**30 for dtype in (torch.int8, torch.float32)}
    weights = 1711e6 / 2**30  # 1 byte each; also 0.4 GiB of embeddings and a read of 1 GiB, both twice
    assert weights + 3 < gib[torch.int8] < weights + 5.5
    assert gib[torch.float32] > 2 * 4 * weights


def test_by_default_all_shapes_that_fit_are_measured(monkeypatch):
    def fitting(gib: float) -> list[str]:
        monkeypatch.setattr(shapes, "free_bytes", lambda device: int(gib * 2**30))
        return [shape.name for shape in pick_shapes(None, torch.device("cuda"), torch.bfloat16)]

    assert fitting(80) == ["360m+135m", "1.7b+135m", "1.5b+0.5b", "7b+0.5b", "14b+0.5b"]
    assert fitting(24) == ["360m+135m", "1.7b+135m", "1.5b+0.5b", "7b+0.5b"]
    with pytest.raises(UserError, match=r"No shape fits cuda, where 1\.0 GiB are free"):
        fitting(1)
    monkeypatch.setattr(shapes, "free_bytes", lambda device: 24 * 2**30)
    with pytest.raises(UserError, match=r"14b\+0\.5b needs 29\.\d GiB on cuda in bfloat16, where 24\.0"):
        pick_shapes(["14b+0.5b"], torch.device("cuda"), torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "target", "draft"),
    [
        ("360m+135m", 361.8e6, 134.5e6),
        ("1.7b+135m", 1711e6, 134.5e6),
        ("1.5b+0.5b", 1544e6, 494e6),
        ("7b+0.5b", 7616e6, 494e6),
        ("14b+0.5b", 14_770e6, 494e6),
    ],
)
def test_a_shape_has_the_number_of_weights_of_its_models(name, target, draft):
    shape = SHAPES[name]
    assert shapes._weights(shape.target) == pytest.approx(target, rel=1e-3)
    assert shapes._weights(shape.draft) == pytest.approx(draft, rel=1e-3)


BAD = {
    "an unknown shape": (["--shapes", "8b"], "There is no shape '8b'"),
    "an empty name": (["--shapes", "7b+0.5b,"], "There is no shape ''"),
    "prompts with shapes": (["--shapes", "--prompts", "some.txt"], "leave out --prompts"),
    "a pair with shapes": (["--shapes", "--pair", "qwen2.5-7b"], "leave out --pair"),
    "temperatures with shapes": (["--shapes", "--temperatures", "1"], "leave out --temperatures"),
    "assisted generation with shapes": (["--shapes", "--no-assisted"], "leave out --assisted"),
    "an acceptance of 1": (["--shapes", "--acceptance", "1"], "acceptance is 1; it must be from 0.2"),
    "an acceptance of a real pair": (["--acceptance", "0.5"], "--acceptance works only with --shapes"),
    "an unknown lane": (["--shapes", "--lanes", "warp"], "no stopper 'warp'"),
    "too few tokens": (["--shapes", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
    "no repeats": (["--shapes", "--repeats", "0"], "repeats is 0"),
    "a missing device": (["--shapes", "--device", "cuda:9"], "There is no device 'cuda:9'"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_options_of_shapes_give_one_sentence(case, capsys):
    arguments, message = BAD[case]
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not out
