"""Targets whose own copy drafts, rounded to int8 or fewer bits, on tiny models."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import tiny_llama, toy_tokenizer

from adaedl.cli.race import title_of
from adaedl.errors import UserError
from adaedl.measure.check import check
from adaedl.measure.peers import transformers as reference
from adaedl.models.cpu import jit
from adaedl.models.cpu.int8 import quantize
from adaedl.models.cpu.int8_linear import Int8Linear, quantize_model, quantized_copy
from adaedl.models.cpu.memory import discard
from adaedl.models.factory import make_runner
from adaedl.pairs import devices, loading
from adaedl.pairs.loading import load_pair
from adaedl.pairs.placement import MEMORY_FACTOR, size_of_weights
from adaedl.pairs.presets import BITS, DEFAULT_PAIR, PRESETS, resolve
from adaedl.racing import new_trace
from adaedl.request import DEFAULT_LANES, RaceRequest, Sampling
from adaedl.stopping import format_spec, make_stopper
from adaedl.trace import Trace
from components.parts import pair_note
from components.parts.controls import DEFAULTS
from components.parts.settings import RaceSettings
from components.settings import hosting

CPU = torch.device("cpu")
COPIES = [preset for preset in PRESETS.values() if preset.draft_bits]
INT8 = [preset for preset in PRESETS.values() if preset.needs_int8]


@pytest.fixture
def anywhere(monkeypatch):
    """Allow int8 pairs on a processor without VNNI, too, where the kernels compute the same numbers."""
    monkeypatch.setattr(loading, "check_runs_here", lambda preset, device: None)


@pytest.fixture
def tiny(tmp_path):
    return saved(tiny_llama(), tmp_path / "tiny")


def saved(model, folder):
    model.save_pretrained(folder)
    toy_tokenizer(model.config.vocab_size).save_pretrained(folder)
    return folder


@torch.inference_mode()
def logits_of(runner) -> torch.Tensor:
    return runner.forward(torch.arange(9), runner.new_cache(9)).logits


def test_the_target_s_copy_drafts_and_shares_its_embeddings(tiny, anywhere):
    pair = load_pair(f"{tiny}:int8", device="cpu")
    drafts = pair.drafter.runner
    assert (pair.target.path, drafts.path, pair.runs_on) == ("kernels", "kernels int8", "cpu/float32")
    assert drafts.embeddings is pair.target.embeddings
    assert (pair.drafter.vocab, pair.drafter.kind) == (None, "independent")
    model = tiny_llama()
    assert torch.equal(logits_of(pair.target), logits_of(make_runner(model)))
    quantize_model(model)
    assert torch.equal(logits_of(drafts), logits_of(make_runner(model)))


def test_a_trace_describes_the_drafting_copy(tiny, anywhere):
    pair = load_pair(f"{tiny}:int4", device="cpu")
    info = new_trace(pair, "w1 w2", ["adaedl"], Sampling(0)).pair
    assert (info.name, info.target, info.draft) == (f"{tiny}:int4", str(tiny), f"int4 copy of {tiny}")
    assert info.weights.endswith("; a copy of them in int8 drafts, each rounded to 4 bits")
    assert info.tuned is None
    pair.tuned = "adaedl:gamma=0.1"
    trace = new_trace(pair, "w1 w2", ["adaedl", "adaedl:gamma=0.1"], Sampling(0))
    assert Trace.from_json(trace.to_json()).pair.tuned == pair.tuned
    titles = [title_of(lane, trace) for lane in trace.lanes]
    assert titles == ["adaedl", "adaedl:gamma=0.1 (AdaEDL, tuned for this pair)"]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40), st.sampled_from(BITS))
def test_a_quantised_row_has_the_levels_of_its_bits(values, bits):
    row = torch.tensor([values])
    numbers, scale = quantize(row, bits)
    assert numbers.abs().max() <= 2 ** (bits - 1) - 1
    assert torch.allclose(numbers * scale, row, atol=0.5001 * scale.item(), rtol=0)


def test_fewer_bits_agree_less_at_the_same_cost():
    model = tiny_llama()
    p = logits_of(make_runner(model)).softmax(-1)
    runners = {bits: make_runner(quantized_copy(model, bits)) for bits in BITS}
    beta = {bits: torch.minimum(logits_of(copy).softmax(-1), p).sum() for bits, copy in runners.items()}
    assert sorted(beta, key=beta.get) == list(BITS)
    assert len({copy.weights_bytes for copy in runners.values()}) == 1
    assert {copy.path for copy in runners.values()} == {"kernels int8"}
    assert not any(isinstance(module, Int8Linear) for module in model.modules())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_check_finds_a_pair_with_a_copy_lossless(tiny, anywhere, dtype):
    pair = load_pair(f"{tiny}:int3", device="cpu", dtype=dtype)
    results = list(check(pair, ["w1 w2 w3"], max_new_tokens=12, draws=500))
    assert all(result.passed for result in results), results


def test_transformers_own_assistant_is_the_same_copy(tiny, anywhere):
    pair = load_pair(f"{tiny}:int2", device="cpu")
    model = reference.target_model(pair)
    assistant = reference.draft_model(pair, model)
    numbers = {
        value
        for module in assistant.modules()
        if isinstance(module, Int8Linear)
        for value in module.weight.unique().tolist()
    }
    assert numbers == {-1, 0, 1}
    options = {"max_new_tokens": 8, "assistant": assistant, "drafts": 3}
    assisted, _ = reference.generate(pair, model, torch.arange(5), Sampling(0), **options)
    plain, _ = reference.generate(pair, model, torch.arange(5), Sampling(0), max_new_tokens=8)
    assert assisted == plain


def test_memory_must_hold_the_target_and_its_copy(tiny, anywhere, monkeypatch):
    need = round(MEMORY_FACTOR * 1.25 * size_of_weights(tiny, torch.float32))
    monkeypatch.setattr(loading, "available_memory", lambda: need + 2)
    load_pair(f"{tiny}:int8", device="cpu")
    monkeypatch.setattr(loading, "available_memory", lambda: need - 2)
    with pytest.raises(UserError, match="GiB are free here"):
        load_pair(f"{tiny}:int8", device="cpu")


@pytest.mark.parametrize("target", ["org/model", "org/model-int8", r"C:\models\a b", "./int8"])
def test_any_target_may_draft_with_its_copy(target):
    preset = resolve(f" {target} : int4 ")
    assert (preset.target, preset.draft, preset.draft_bits) == (target, None, 4)
    for draft in ("org/draft-int8", "./int8"):
        preset = resolve(f"{target}:{draft}")
        assert (preset.target, preset.draft, preset.draft_bits) == (target, draft, None)


@pytest.mark.parametrize("bits", ["1", "9", "16", "0", "99999999999999999999"])
def test_other_numbers_of_bits_are_refused(bits):
    with pytest.raises(UserError, match="weights of 2 to 8 bits; write org/model:int8"):
        resolve(f"org/model:int{bits}")


@pytest.mark.parametrize(
    ("pair", "dtype", "reason"),
    [
        ("{}:int8", "int8", "so the target cannot be int8 too"),
        ("{}:int8", "float16", "cannot draft with an int8 copy of itself, because its weights are float16"),
        ("smollm2-135m-self", "bfloat16", "smollm2-135m-self runs in float32; leave the dtype bfloat16 out"),
        ("smollm2-135m-int8", "float32", "smollm2-135m-int8 runs in int8"),
    ],
)
def test_a_dtype_that_a_pair_does_not_support_is_refused(tiny, anywhere, pair, dtype, reason):
    with pytest.raises(UserError, match=reason):
        load_pair(pair.format(tiny), device="cpu", dtype=dtype)


def test_a_model_unsupported_by_the_kernels_has_no_copy(tmp_path, anywhere):
    folder = saved(tiny_llama(hidden_act="relu"), tmp_path / "other")
    with pytest.raises(
        UserError, match="cannot draft with an int8 copy of itself, because its activation is"
    ):
        load_pair(f"{folder}:int8", device="cpu")


@pytest.mark.parametrize("preset", INT8, ids=lambda preset: preset.name)
def test_an_int8_pair_is_not_offered_where_int8_is_slow(preset, monkeypatch):
    with pytest.raises(UserError, match="because int8 is for CPUs, and the models run on cuda:0; choose"):
        devices.check_runs_here(preset, torch.device("cuda:0"))
    monkeypatch.setattr(jit, "VNNI", False)
    with pytest.raises(UserError, match=rf"{preset.name} is not offered here, because .* AVX-512 VNNI"):
        devices.check_runs_here(preset, CPU)


def test_an_int8_pair_is_not_offered_without_kernels(without_kernels, monkeypatch):
    monkeypatch.setattr(jit, "VNNI", True)
    with pytest.raises(UserError, match="kernels cannot be compiled here; choose smollm2-135m"):
        devices.check_runs_here(COPIES[0], CPU)


def test_the_page_offers_runnable_pairs_and_explains_the_rest(monkeypatch):
    monkeypatch.setattr(jit, "VNNI", True)
    monkeypatch.setattr(hosting, "may_have_gpu", lambda: False)
    assert pair_note.offered_presets() == list(PRESETS.values())
    for name, value, reason in (
        ("VNNI", False, "this processor does not multiply int8 fast"),
        ("ZeroGPU", "1", "the models run on ZeroGPU"),
    ):
        if name == "ZeroGPU":
            monkeypatch.setenv("SPACES_ZERO_GPU", value)
        else:
            monkeypatch.setattr(jit, name, value)
        assert [preset for preset in PRESETS.values() if preset not in pair_note.offered_presets()] == INT8
        missing = pair_note.pair_note(DEFAULT_PAIR).props["missing"]
        assert reason in missing["en"]
        assert all(preset.name in missing["zh"] for preset in INT8)


def test_every_preset_is_described_in_both_languages():
    note = pair_note.pair_note(DEFAULT_PAIR)
    for pair in note.props["pairs"]:
        assert pair["about"]["en"] == PRESETS[pair["name"]].description
        assert pair["about"]["zh"] != pair["about"]["en"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_pair_s_lanes_are_the_defaults_and_tuned_adaedl(preset):
    RaceRequest("a", preset.lanes, Sampling(0.7))
    assert preset.lanes[: len(DEFAULT_LANES)] == DEFAULT_LANES
    assert make_stopper("adaedl").settings == make_stopper(DEFAULT_LANES[-1]).settings
    assert preset.lanes[len(DEFAULT_LANES) :] == ((preset.tuned,) if preset.tuned else ())
    if preset.tuned:
        assert make_stopper(preset.tuned).name == "adaedl"
        assert format_spec(make_stopper(preset.tuned)) == preset.tuned != "adaedl"


def test_a_link_without_lanes_races_the_pair_s_lanes():
    link = RaceSettings.from_query("pair=smollm2-135m-self", DEFAULTS)
    assert link.lanes == list(PRESETS["smollm2-135m-self"].lanes)
    assert RaceSettings.from_query("pair=none", DEFAULTS).lanes == DEFAULTS.lanes
    assert RaceSettings.from_query("pair=smollm2-135m-self&lanes=svip", DEFAULTS).lanes == ["svip"]


def test_discard_frees_only_the_given_part_of_a_tensor():
    numbers = torch.ones(100_000)
    discard(numbers[20_000:60_000])
    assert numbers[:20_000].sum() + numbers[60_000:].sum() == 60_000
    # With the system call, less than a page is left at either end.
    assert numbers[20_000:60_000].sum() <= 2 * 4096
    discard(numbers[:0])


def test_a_packed_model_does_not_need_the_consumed_layers():
    runners = [
        make_runner(tiny_llama(hidden_size=128, intermediate_size=512), consume=consume)
        for consume in (False, True)
    ]
    assert torch.equal(*map(logits_of, runners))
