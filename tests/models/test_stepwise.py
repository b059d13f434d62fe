"""Which models can be decoded step by step, and how long their texts may be, measured on tiny real models."""

import json

import pytest
import torch
from families import CONTEXT, distance_in_parts, judge, tiny_model
from safetensors.torch import load_file, save_file
from toys import rounded, tiny_llama, toy_pair, toy_tokenizer
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from adaedl.decoding import read_prompt
from adaedl.errors import UserError
from adaedl.models import context_length
from adaedl.models.cpu.attention import StaticCache
from adaedl.models.cpu.packed import PackedModel
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.models.stepwise import Probe, check_stepwise, distance
from adaedl.models.transformers import TransformersCache, TransformersRunner
from adaedl.pairs.loading import load_pair
from adaedl.pairs.reading import load_model
from adaedl.pairs.weights import fetch_weights

CPU = torch.device("cpu")
NOT_CAUSAL = "is not causal: its logits for the start of a text depend on what follows"
NO_CACHE = "has no key–value cache"
NOT_REWOUND = "has a cache that cannot be rewound"
IN_PARTS = "gives different logits for a text read in parts than for the text read at once"
VERDICTS = {
    "llama": "kernels, up to 48 tokens",
    "qwen2": "kernels, up to 48 tokens",
    "qwen3": "kernels, up to 48 tokens",
    "olmo2": "kernels, up to 48 tokens",
    "smollm3": "kernels, up to 48 tokens",
    "gpt_neox": "kernels, up to 48 tokens",
    "gpt2": "transformers, up to 48 tokens",
    "gpt_neo": "transformers, up to 48 tokens",
    "bloom": "transformers, up to 2048 tokens",
    "mpt": "transformers, up to 48 tokens",
    "opt": "transformers, up to 48 tokens",
    "whisper": "transformers, up to 48 tokens",
    "phi3": "transformers, up to 24 tokens",  # longrope with an original length of 24 tokens
    "mistral": "transformers, up to 48 tokens",
    "gemma2": "transformers, up to 48 tokens",
    "gemma3_text": "kernels, up to 48 tokens",
    "gpt_oss": "transformers, up to 48 tokens",
    "llama4_text": "transformers, up to 48 tokens",
    "openai-gpt": NO_CACHE,
    "rwkv": NO_CACHE,
    "xlm": NOT_CAUSAL,
    "bert": NOT_CAUSAL,
    "roberta": NOT_CAUSAL,
    "electra": NOT_CAUSAL,
    "camembert": NOT_CAUSAL,
    "cpmant": "this cpmant model",
    "mamba": NOT_REWOUND,
    "recurrent_gemma": NOT_REWOUND,
    "deepseek_v32": NOT_REWOUND,
    "moshi": NOT_REWOUND,
    "xlnet": "max_position_embeddings is -1",
    "xlstm": "cannot be decoded step by step",
    "prophetnet": "cannot be decoded step by step",
}


@pytest.mark.parametrize("family", VERDICTS)
def test_a_family_writes_the_text_of_generate_or_is_refused(family):
    verdict = judge(tiny_model(family))
    assert verdict.name in ("right", "refused"), verdict.words
    assert VERDICTS[family].lower() in verdict.words.lower()


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_an_encoder_family_runs_where_its_configuration_makes_it_a_decoder(family):
    verdict = judge(tiny_model(family, is_decoder=True))
    assert verdict == ("right", f"transformers, up to {CONTEXT} tokens")


def test_rows_for_padding_shorten_a_table_of_positions():
    model = tiny_model("roberta", is_decoder=True, pad_token_id=1)
    runner = make_runner(model)
    assert runner.max_context == CONTEXT - 2
    assert distance_in_parts(runner, model) < 1e-4  # to the last position


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "bloom", "gemma2", "bert", "openai-gpt"])
def test_the_verdict_is_the_same_in_half_precision(family, dtype):
    model = tiny_model(family).to(dtype)
    if VERDICTS[family] in (NOT_CAUSAL, NO_CACHE):
        with pytest.raises(UserError, match=VERDICTS[family]):
            make_runner(model)
    else:
        packed = family == "llama" and dtype == torch.bfloat16
        assert isinstance(make_runner(model), PackedModel if packed else TransformersRunner)


def test_probes_have_the_same_tokens_within_the_vocabulary():
    probes = [Probe(TransformersRunner(tiny_llama())) for _ in range(2)]
    assert torch.equal(probes[0].token_ids, probes[1].token_ids)
    assert probes[0].token_ids.max() < 32


def test_a_runner_of_another_model_fails_the_probe(without_kernels):
    probe = Probe(TransformersRunner(tiny_llama()))
    probe.check(PackedModel(tiny_llama()))
    with pytest.raises(UserError, match=IN_PARTS):
        probe.check(PackedModel(tiny_llama(seed=1)))


@pytest.mark.parametrize("build", [tiny_llama, lambda: rounded(tiny_llama)], ids=["float32", "int8"])
@pytest.mark.parametrize("fault", ["rewind", "copy"])
def test_a_cache_that_is_wrong_after_rewind_or_copy_fails_the_probe(build, fault, monkeypatch):
    assert isinstance(make_runner(build()), PackedModel)

    def keep_rejected(cache: StaticCache, length: int) -> None:
        cache.data[:, length - 1] = cache.data[:, length]
        cache.length = length

    def copy_too_little(cache: StaticCache) -> StaticCache:
        clone = StaticCache(*cache.data.shape[:2], *cache.data.shape[3:])
        clone.data.zero_()
        clone.length = cache.length
        return clone

    monkeypatch.setattr(StaticCache, fault, keep_rejected if fault == "rewind" else copy_too_little)
    with pytest.raises(UserError, match=f"llama model {IN_PARTS}"):
        make_runner(build())


def test_distance_is_of_the_worst_row_and_ignores_excluded_tokens():
    whole = torch.tensor([[0.0, 2.0, -4e38], [2.0, 0.0, -4e38]])
    assert distance(whole.clone(), whole) == 0
    apart = whole + torch.tensor([[0.0], [0.5]])
    assert distance(apart, whole) == pytest.approx(0.5 / whole[:, :2].std().item())
    broken = whole.clone()
    broken[1, 0] = torch.nan
    assert distance(broken, whole) == torch.inf


@pytest.mark.parametrize("build", [tiny_llama, lambda: tiny_model("whisper")], ids=["llama", "whisper"])
@torch.inference_mode()
def test_the_last_row_is_returned_if_a_model_computes_all_rows(build):
    runner = TransformersRunner(build())
    ids = torch.arange(5)
    every, last = (runner.forward(ids, runner.new_cache(8), rows).logits for rows in ("all", "last"))
    torch.testing.assert_close(last, every[-1:])
    assert runner.forward(ids, runner.new_cache(8), "none").logits is None


WINDOWED = {"mistral": "sliding_window", "gemma2": "sliding_window", "llama4_text": "attention_chunk_size"}


@pytest.mark.parametrize("family", WINDOWED)
def test_a_window_longer_than_the_probe_is_still_measured(family, monkeypatch):
    name = WINDOWED[family]
    model = tiny_model(family, **{name: 32})
    runner = make_runner(model)
    assert getattr(model.config, name) == 32
    assert distance_in_parts(runner, model) < 1e-4  # over 48 tokens

    def forgetful(runner: TransformersRunner, capacity: int) -> TransformersCache:
        return TransformersCache(DynamicCache(config=runner.config))

    monkeypatch.setattr(TransformersRunner, "new_cache", forgetful)
    with pytest.raises(UserError):
        make_runner(model)
    assert getattr(model.config, name) == 32


def test_a_window_without_a_mask_is_refused_if_shorter_than_the_context():
    with pytest.raises(UserError, match=r"moshi .*\(sliding_attention\)"):
        make_runner(tiny_model("moshi", sliding_window=CONTEXT - 1))
    assert make_runner(tiny_model("moshi", sliding_window=CONTEXT)).max_context == CONTEXT


def test_context_ends_where_a_rotary_embedding_would_change():
    model = tiny_model("phi3")
    runner = make_runner(model)
    assert (runner.max_context, model.config.max_position_embeddings) == (24, CONTEXT)
    pair = toy_pair(runner, IndependentDrafter(runner))
    assert read_prompt(pair, torch.arange(20), 4).prompt_tokens == 20
    with pytest.raises(UserError, match="20 tokens and you requested 5 new ones, but toy reads at most 24"):
        read_prompt(pair, torch.arange(20), 5)


def test_an_unknown_kind_of_changing_rotary_embedding_is_refused(monkeypatch):
    monkeypatch.setattr(context_length, "_constant_lengths", lambda model: [])
    with pytest.raises(UserError, match=NOT_CAUSAL):
        make_runner(tiny_model("phi3"))


def test_dynamic_scaling_is_constant_up_to_its_original_length():
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
    model = tiny_llama(rope_parameters=rope, max_position_embeddings=CONTEXT)
    runner = make_runner(model)
    assert (runner.path, runner.max_context) == ("transformers", CONTEXT)
    assert distance_in_parts(runner, model) < 1e-4


@pytest.mark.parametrize("length", [-1, 0, 11, 1e9])
def test_an_invalid_context_length_is_refused_with_its_value(length):
    model = tiny_llama()
    model.config.__dict__["max_position_embeddings"] = length
    with pytest.raises(UserError, match=f"max_position_embeddings is {length!r} in the .* llama model"):
        make_runner(model)


def test_a_model_without_positions_has_its_configured_length():
    bloom = tiny_model("bloom")
    assert context_length.longest_text(bloom) == context_length.DEFAULT_LENGTH
    bloom.config.seq_length = 512
    assert make_runner(bloom).max_context == 512


@pytest.fixture
def folders(tmp_path):
    """Return a function that saves a model with a tokenizer of 300 words and returns the folder."""

    def save(name: str, model) -> str:
        model.save_pretrained(tmp_path / name)
        toy_tokenizer(300).save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize("read_first", [False, True], ids=["here", "as on ZeroGPU"])
def test_target_and_draft_are_both_probed(folders, read_first):
    good, bad = folders("gpt2", tiny_model("gpt2")), folders("bert", tiny_model("bert"))
    options = {"device": "cpu", "read_first": read_first}
    for pair in (f"{bad}:{good}", f"{good}:{bad}"):
        with pytest.raises(UserError, match="This bert model is not causal"):
            load_pair(pair, **options)
    assert load_pair(f"{good}:{good}", **options).max_context == CONTEXT


def test_a_model_without_its_device_is_probed_on_one_thread():
    torch.set_num_threads(2)
    try:
        thread_counts = []
        model = tiny_model("rwkv")
        model.register_forward_pre_hook(lambda *_: thread_counts.append(torch.get_num_threads()))
        with pytest.raises(UserError, match=NO_CACHE):
            check_stepwise(model)
        assert set(thread_counts) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    check_stepwise(tiny_llama())
    assert make_runner(model, measure=False).path == "transformers"


@pytest.mark.parametrize("layers", [2, 0, -1])
def test_a_configuration_that_leaves_out_weights_is_refused(folders, layers):
    folder = fetch_weights(folders("llama", tiny_llama(vocab_size=300))).folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    count, first = 9 * (3 - max(layers, 0)), max(layers, 0)
    sentence = rf"configuration of mine leaves out {count} of the weights .* model\.layers\.{first}\.input_l"
    with pytest.raises(UserError, match=sentence):
        load_model(folder, CPU, torch.float32, "mine")


def test_buffers_saved_by_older_versions_are_ignored(folders):
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 300}
    gpt2 = GPT2LMHeadModel(GPT2Config(**sizes))
    for model, buffers in (
        (gpt2, {"transformer.h.0.attn.bias": (1, 1, 64, 64), "transformer.h.0.attn.masked_bias": ()}),
        (tiny_llama(vocab_size=300), {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}),
        (tiny_model("gpt_neox"), {"gpt_neox.layers.1.attention.masked_bias": ()}),
    ):
        folder = fetch_weights(folders(model.config.model_type, model)).folder
        weights = load_file(folder / "model.safetensors")
        weights |= {name: torch.ones(shape) for name, shape in buffers.items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        assert load_model(folder, CPU, torch.float32)


@pytest.mark.parametrize(
    "name",
    [
        "../other/model.safetensors",
        "a/../../model.safetensors",
        "/model.safetensors",
        "C:\\m.safetensors",
    ],
)
def test_a_shard_index_may_not_name_files_outside_its_folder(folders, name):
    folder = fetch_weights(folders("llama", tiny_llama(vocab_size=300))).folder
    (folder.parent / "other").mkdir()
    for copy in ("model-00001-of-00001.safetensors", "../other/model.safetensors", "../model.safetensors"):
        (folder / copy).write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}))
    assert fetch_weights(str(folder)).folder == folder
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    with pytest.raises(UserError, match="which is outside that folder"):
        fetch_weights(str(folder))
    (folder / "shard.safetensors").symlink_to(folder.parent / "model.safetensors")  # as the Hub's cache does
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "shard.safetensors"}}))
    assert fetch_weights(str(folder)).folder == folder
