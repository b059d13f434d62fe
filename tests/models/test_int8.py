"""Int8 products are exact and independent of the batch, and decoding is lossless to the int8 target."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_runners import assert_same_bits, token_ids
from toys import rounded, tiny_drafter_net, tiny_llama, tiny_pair, tiny_qwen2, toy_pair, toy_tokenizer

from adaedl.cli.main import main
from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.measure.check import check
from adaedl.measure.forwards import weights_read
from adaedl.measure.peers import transformers as reference
from adaedl.models.cpu.int8 import LEVELS, quantize
from adaedl.models.cpu.int8_linear import Int8Linear
from adaedl.models.cpu.linear import PackedGate, PackedLinear
from adaedl.models.cpu.packed import PackedModel
from adaedl.models.drafters.feature import FeatureDrafter
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs import loading
from adaedl.pairs.checks import check_int8
from adaedl.pairs.presets import resolve
from adaedl.request import Sampling
from adaedl.stopping import LIVE_STOPPERS, make_stopper

CPU = torch.device("cpu")


def assert_nearly_same_model(runner, reference) -> None:
    """Compare logits and features, except for a few numbers that another order of addition has rounded the
    other way."""
    caches = runner.new_cache(64), reference.new_cache(64)
    off = []
    for index, (count, keep) in enumerate([(7, 7), (1, 8), (5, 9), (1, 10), (12, 22)]):
        ids = token_ids(count, seed=index)
        ours, theirs = (
            each.forward(ids, cache, "all", (0, 2, 3))
            for each, cache in zip((runner, reference), caches, strict=True)
        )
        off.append(
            ((ours.logits - theirs.logits).abs().amax(-1), (ours.features - theirs.features).abs().amax(-1))
        )
        assert theirs.logits.abs().max() > 1
        for cache in caches:
            cache.rewind(keep)
    for differences in map(torch.cat, zip(*off, strict=True)):
        assert differences.median() < 1e-4
        assert differences.max() < 0.1


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40))
def test_a_row_is_rounded_by_at_most_half_a_step(values):
    row = torch.tensor([values])
    numbers, scale = quantize(row)
    assert numbers.dtype == torch.int8
    assert numbers.abs().max() <= LEVELS
    assert torch.allclose(numbers * scale, row, atol=0.5001 * scale.item(), rtol=0)
    if row.abs().max() > 1e-15:
        assert numbers.abs().max() == LEVELS


@pytest.mark.parametrize("path", ["kernels", "torch"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 5, 40])
@pytest.mark.parametrize("outputs", [24, 70])
def test_int8_products_equal_products_of_the_quantised_numbers(path, rows, bias, outputs, request):
    if path == "torch":
        request.getfixturevalue("without_kernels")
    generator = torch.Generator().manual_seed(rows)
    shapes = ((outputs, 64), (rows, 64), (rows, outputs))
    weight, x, other = (torch.randn(shape, generator=generator) for shape in shapes)
    x[:1] = 0
    b = torch.randn(outputs, generator=generator) if bias else None
    (w, w_scale), (numbers, scale) = quantize(weight), quantize(x)
    plain = (numbers.double() @ w.double().T * scale * w_scale.T).float() + (b if bias else 0)
    gate, up = plain.chunk(2, -1)
    product = PackedLinear(w, b, w_scale[:, 0])
    assert product.path == path
    for result, expected in (
        (product(x), plain),
        (product.plus(x, other), other + plain),
        (PackedGate(w, b, w_scale[:, 0])(x), torch.nn.functional.silu(gate) * up),
    ):
        assert result.shape == expected.shape
        assert torch.allclose(result, expected, atol=1e-4, rtol=1e-5)


def test_the_largest_int8_sums_are_exact():
    numbers = torch.full((40, 4096), LEVELS, dtype=torch.int8)
    numbers[1::2] = -LEVELS
    x = torch.full((3, 4096), 1.0)
    x[1] = -1
    sums = PackedLinear(numbers, None, torch.ones(40))(LEVELS * x)
    assert torch.equal(sums, LEVELS * x @ numbers.float().T)


def test_a_row_has_the_same_bits_alone_and_in_a_batch():
    w, scale = quantize(torch.randn(200, 640))
    product = PackedLinear(w, None, scale[:, 0])
    x = 10 * torch.randn(8, 640)
    for count in (1, 2, 3, 5):
        assert torch.equal(torch.cat([product(part) for part in x.split(count)]), product(x))


@pytest.mark.parametrize("build", [tiny_llama, tiny_qwen2])
@pytest.mark.parametrize("at_once", [2, 5, 40])
def test_a_token_has_the_same_bits_alone_and_in_a_batch(build, at_once):
    assert_same_bits(make_runner(rounded(build)), at_once)


@pytest.mark.parametrize("path", ["kernels int8", "torch int8"])
@pytest.mark.parametrize("build", [tiny_llama, tiny_qwen2])
def test_a_packed_int8_model_agrees_with_transformers(path, build, request):
    if path == "torch int8":
        request.getfixturevalue("without_kernels")
    model = rounded(build)
    runner = make_runner(model)
    assert isinstance(runner, PackedModel)
    assert runner.path == path
    assert_nearly_same_model(runner, TransformersRunner(model))


def test_linear_layers_are_quantised_and_embeddings_are_not():
    model = rounded(tiny_llama)
    linear = [module for module in model.modules() if isinstance(module, Int8Linear)]
    assert len(linear) == 3 * 7 + 1
    assert not [module for module in model.modules() if type(module) is torch.nn.Linear]
    assert model.get_input_embeddings().weight.dtype == torch.float32
    norms = sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
    assert weights_read(model).bytes == sum(module.weight.numel() for module in linear) + 4 * norms


def pair_of(kind: str):
    target = rounded(tiny_llama)
    runner = make_runner(target)
    if kind == "independent":
        return toy_pair(runner, IndependentDrafter(make_runner(rounded(tiny_llama, seed=1))))
    vocab = tiny_pair("feature").drafter.vocab
    embeddings = target.get_input_embeddings().weight.detach()
    net = tiny_drafter_net(target, len(vocab))
    return toy_pair(runner, FeatureDrafter(net, vocab, runner, embeddings, int8=True))


@pytest.mark.parametrize("kind", ["feature", "independent"])
@pytest.mark.parametrize("temperature", [0, 0.8])
def test_every_stopper_writes_the_int8_target_s_text(kind, temperature):
    pair = pair_of(kind)

    def text(spec: str) -> list[int]:
        rounds = decode(pair, token_ids(5), make_stopper(spec), Sampling(temperature), max_new_tokens=24)
        return [token for round_ in rounds for token in round_.token_ids]

    texts = {spec: text(spec) for spec in LIVE_STOPPERS}
    assert len(texts["autoregressive"]) == 24
    assert all(ids == texts["autoregressive"] for ids in texts.values())


@pytest.mark.parametrize("kind", ["feature", "independent"])
def test_check_finds_int8_decoding_lossless_to_the_bit(kind):
    pair = pair_of(kind)
    pair.dtype = torch.int8
    results = list(check(pair, ["w1 w2 w3", "w4 w5"], max_new_tokens=12, draws=500))
    assert len(results) == 5
    assert all(result.passed for result in results), results
    assert "same bits alone and 5 at once" in results[-1].name


def test_check_reports_a_target_whose_logits_depend_on_the_batch():
    pair = tiny_pair("independent")
    pair.dtype = torch.int8
    forward = pair.target.forward

    def disturbed(token_ids, *others):
        output = forward(token_ids, *others)
        if output.logits is not None:
            output.logits.add_(1e-6 * len(token_ids))
        return output

    pair.target.forward = disturbed
    *_, bits = check(pair, ["w1 w2 w3"], max_new_tokens=8, draws=500)
    assert not bits.passed


def test_an_int8_target_whose_logits_depend_on_the_batch_is_refused():
    preset = resolve("a/b:c/d")
    check_int8(preset.name, make_runner(rounded(tiny_llama)))
    other = make_runner(rounded(tiny_llama))
    forward = other.forward

    def disturbed(token_ids, cache):
        output = forward(token_ids, cache)
        return output._replace(logits=output.logits + len(token_ids))

    other.forward = disturbed
    for runner in (TransformersRunner(rounded(tiny_llama)), other):
        with pytest.raises(
            UserError,
            match="int8 needs a model of the families llama, qwen2, qwen3, gpt_neox, olmo2",
        ):
            check_int8(preset.name, runner)


def test_int8_is_refused_without_kernels(without_kernels, capsys):
    with pytest.raises(UserError, match="int8 needs a CPU with AVX-512 VNNI"):
        loading.pick_dtype(CPU, "int8")
    with pytest.raises(UserError, match="mps does not qualify; choose auto"):
        loading.pick_dtype(torch.device("mps"), "int8")
    assert main(["bench", "--shapes", "--device", "cpu", "--dtype", "int8"]) == 2
    assert "int8 needs a CPU with AVX-512 VNNI" in capsys.readouterr().err


def test_an_int8_pair_is_read_in_float32(monkeypatch, tmp_path):
    model = tiny_llama()
    model.save_pretrained(tmp_path)
    toy_tokenizer(model.config.vocab_size).save_pretrained(tmp_path)
    monkeypatch.setattr(loading, "pick_dtype", lambda device, dtype: torch.int8)  # on any machine
    pair = loading.load_pair(f"{tmp_path}:{tmp_path}", device="cpu", dtype="int8")
    assert (pair.runs_on, pair.target.path) == ("cpu/int8", "kernels int8")
    expected = TransformersRunner(rounded(tiny_llama))
    assert_nearly_same_model(pair.target, expected)
    assert_nearly_same_model(TransformersRunner(reference.target_model(pair)), expected)
