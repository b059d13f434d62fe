"""Every family on packed weights against transformers, with every configuration setting that changes the
computation, in float32, bfloat16 and int8."""

import copy

import pytest
import torch
from families import judge
from toys import rounded, tiny_family, tiny_llama, tiny_pair

from adaedl.models.cpu import families
from adaedl.models.cpu.attention import causal_mask, grouped_query_attention
from adaedl.models.cpu.families import FAMILIES, can_pack, why_not_packed
from adaedl.models.cpu.packed import PackedModel
from adaedl.models.factory import make_runner
from adaedl.models.transformers import TransformersRunner

WINDOW = {"sliding_window": 5}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA_ROPES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0},
}
MODELS = {
    "llama, llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama, linear": ("llama", {"rope_parameters": LINEAR}),
    "llama, yarn": ("llama", {"rope_parameters": YARN}),
    "llama, yarn's factor given": ("llama", {"rope_parameters": {**YARN, "attention_factor": 0.7}}),
    "llama, the old spelling": ("llama", {"rope_scaling": {"type": "linear", "factor": 3.0}}),
    "llama, biases everywhere": ("llama", {"mlp_bias": True, "attention_bias": True}),
    "llama, gelu": ("llama", {"hidden_act": "gelu"}),
    "llama, heads wider than the stream": ("llama", {"head_dim": 14}),
    "qwen2, windows": ("qwen2", {"use_sliding_window": True, "max_window_layers": 1, **WINDOW}),
    "qwen2, windows switched off": ("qwen2", {"use_sliding_window": False, **WINDOW}),
    "qwen2, yarn": ("qwen2", {"rope_parameters": YARN}),
    "qwen3": ("qwen3", {"head_dim": 14}),
    "qwen3, biases and windows": (
        "qwen3",
        {"attention_bias": True, "use_sliding_window": True, "max_window_layers": 1, **WINDOW},
    ),
    "gpt_neox": ("gpt_neox", {}),
    "gpt_neox, one after the other": ("gpt_neox", {"use_parallel_residual": False}),
    "gpt_neox, no biases of attention": ("gpt_neox", {"attention_bias": False}),
    "gpt_neox, all rotates": ("gpt_neox", {"rotary_pct": 1.0, "hidden_act": "gelu_new"}),
    "gpt_neox, a part rotates by yarn": (
        "gpt_neox",
        {"rope_parameters": {**YARN, "partial_rotary_factor": 0.6}},
    ),
    "olmo2": ("olmo2", {}),
    "olmo2, biases": ("olmo2", {"attention_bias": True, "num_key_value_heads": 2}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "smollm3, windows and biases": (
        "smollm3",
        {
            "no_rope_layers": [1, 0, 1],
            "use_sliding_window": True,
            "mlp_bias": True,
            "attention_bias": True,
            **WINDOW,
        },
    ),
    "gemma3": ("gemma3_text", {}),
    "gemma3, logits capped": ("gemma3_text", {"final_logit_softcapping": 3.0, "attention_bias": True}),
    "gemma3, two rotaries": ("gemma3_text", {"rope_parameters": GEMMA_ROPES, "query_pre_attn_scalar": 7}),
    "phi3": ("phi3", {}),
    "phi3, a part rotates": ("phi3", {"partial_rotary_factor": 0.6}),
    "phi3, windows": ("phi3", WINDOW),
}
OF_EACH_FAMILY = {
    family: next(name for name, (each, _) in MODELS.items() if each == family) for family in FAMILIES
}
TURNS = ((7, 7), (1, 8), (9, 12), (2, 13), (8, 17), (3, 18), (5, 5), (6, 11), (4, 15))
LAYERS = (0, 1, 2, 3)


def build(name: str):
    family, changes = MODELS[name]
    return tiny_family(family, **changes)


@pytest.fixture(params=["kernels", "without kernels"])
def path(request) -> str:
    if request.param == "without kernels":
        request.getfixturevalue("without_kernels")
    return request.param


@torch.inference_mode()
def differences(runner, reference) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest difference of each row's logits and features [rows], over chunks of 1 to 9 tokens
    with rewinds and copies between them."""
    caches = [each.new_cache(64) for each in (runner, reference)]
    off = []
    for seed, (count, keep) in enumerate(TURNS):
        ids = torch.randint(32, (count,), generator=torch.Generator().manual_seed(seed))
        ours, theirs = (
            each.forward(ids, cache, "all", LAYERS)
            for each, cache in zip((runner, reference), caches, strict=True)
        )
        assert theirs.logits.abs().max() > 1  # large enough for a small difference to mean something
        off.append([(a - b).abs().amax(-1) for a, b in zip(ours, theirs, strict=True)])
        if count % 2:
            caches = [cache.copy() for cache in caches]
        for cache in caches:
            cache.rewind(keep)
            assert cache.length == keep
    return tuple(map(torch.cat, zip(*off, strict=True)))


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_features_agree_with_transformers(name, path):
    model = build(name)
    runner = make_runner(model)
    assert isinstance(runner, PackedModel)
    for off in differences(runner, TransformersRunner(model)):
        assert off.max() < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_int8_logits_and_features_agree_with_transformers(name, path):
    model = rounded(build, name=name)
    runner = PackedModel(model)
    assert runner.path.endswith(" int8")
    for off in differences(runner, TransformersRunner(model)):
        assert off.median() < 1e-4  # a number that is rounded the other way differs a little more
        assert off.max() < 0.5


@pytest.mark.parametrize("name", OF_EACH_FAMILY.values())
def test_a_bfloat16_model_rounds_only_its_weights(name, path):
    exact = build(name)
    for weight in exact.parameters():
        weight.copy_(weight.bfloat16())
    model = copy.deepcopy(exact).bfloat16()
    runner = make_runner(model)
    assert isinstance(runner, PackedModel)
    assert runner.dtype == torch.bfloat16
    assert runner.embeddings.dtype == runner.new_cache(1).data.dtype == torch.float32
    for off in differences(runner, TransformersRunner(exact)):
        assert off.max() < 1e-4


def test_the_scale_of_embeddings_is_rounded_as_in_the_model():
    model = tiny_family("gemma3_text", hidden_size=42)
    assert families.embedding_scale_of(model) == pytest.approx(42**0.5, rel=1e-6)
    assert families.embedding_scale_of(model.bfloat16()) == torch.tensor(42**0.5).bfloat16().item()


@pytest.mark.parametrize("name", OF_EACH_FAMILY.values())
def test_a_packed_model_writes_the_text_of_generate(name):
    assert judge(build(name)).name == "right"


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_read_once_in_order_and_released(family):
    model = tiny_family(family)
    events = []

    class Layers(torch.nn.ModuleList):
        def __getitem__(self, index):
            events.append(("read", index))
            return super().__getitem__(index)

        def __setitem__(self, index, module):
            events.append(("release", index))
            super().__setitem__(index, module)

    expected = TransformersRunner(copy.deepcopy(model))
    model.base_model.layers = Layers(model.base_model.layers)
    runner = PackedModel(model, consume=True)
    assert events == [(event, index) for index in range(3) for event in ("read", "release")]
    assert all(type(layer) is torch.nn.Identity for layer in model.base_model.layers)
    for off in differences(runner, expected):
        assert off.max() < 1e-4


def test_attention_applies_window_and_softcap():
    generator = torch.Generator().manual_seed(0)
    queries, cache = torch.randn(3, 4, 6, generator=generator), torch.randn(8, 2, 2, 6, generator=generator)
    attended = grouped_query_attention(
        queries, cache, causal_mask(3, 8, 2, window=2), scale=0.9, softcap=1.5
    ).view(3, 4, 6)
    for row in range(3):
        position = 5 + row
        for head in range(4):
            keys, values = cache[position - 1 : position + 1, :, head // 2].unbind(1)
            scores = 1.5 * torch.tanh(0.9 * keys @ queries[row, head] / 1.5)
            torch.testing.assert_close(attended[row, head], scores.softmax(0) @ values)


def test_one_token_with_all_positions_in_its_window_needs_no_mask():
    assert causal_mask(1, 5, 2, window=5) is None
    assert causal_mask(1, 6, 1, window=5).tolist() == [[-torch.inf, 0, 0, 0, 0, 0]]


def _with(**changes):
    def change(family: str = "llama", **settings):
        model = tiny_family(family, **settings)
        for name, value in changes.items():
            setattr(model.config, name, value)
        return model

    return change


DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 5,
    "long_factor": [2.0] * 5,
    "original_max_position_embeddings": 32,
}
REFUSED = {
    "mistral is not one of the families that the fast kernels support: llama, qwen2, qwen3,": (
        lambda: tiny_family("mistral")
    ),
    "its weights are float16; the fast kernels support float32, bfloat16 and int8": (
        lambda: tiny_llama().half()
    ),
    "its weights are float64;": lambda: tiny_llama().double(),
    "it has no layers": lambda: tiny_llama(num_hidden_layers=0),
    "its 4 query heads cannot share 3 key heads evenly": (
        lambda: tiny_llama(num_attention_heads=4, num_key_value_heads=3)
    ),
    "its head dimension is 7, which is odd": _with(head_dim=7),
    "its activation is relu; the fast kernels support silu, swish, gelu,": (
        lambda: tiny_llama(hidden_act="relu")
    ),
    "its activation is gelu_fast;": lambda: tiny_family("gemma3_text", hidden_activation="gelu_fast"),
    "its attention is bidirectional (use_bidirectional_attention)": (
        lambda: tiny_family("gemma3_text", use_bidirectional_attention=True)
    ),
    "its configuration caps attention scores, which transformers does not do for it": (
        lambda: tiny_family("gemma3_text", attn_logit_softcapping=50.0)
    ),
    "its rope type dynamic depends on the text's length": lambda: tiny_llama(rope_parameters=DYNAMIC),
    "its rope type longrope depends on the text's length": (
        lambda: tiny_family("phi3", rope_parameters=LONG)
    ),
    "its rope type is spiral; the fast kernels support default, linear, llama3, yarn": (
        _with(rope_parameters={"rope_type": "spiral"})
    ),
    "it has layers of a type that the fast kernels do not support: chunked_attention": (
        lambda: _with(layer_types=["chunked_attention"] * 3)("qwen3")
    ),
    "the sliding window of its layers is None positions long": (
        lambda: _with(layer_types=["sliding_attention"] * 3)("qwen3")
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_model_that_cannot_be_packed_is_refused_with_the_reason(sentence):
    model = REFUSED[sentence]()
    assert why_not_packed(model).startswith(sentence)
    assert not can_pack(model)
    runner = make_runner(model, measure=False)
    assert isinstance(runner, TransformersRunner)
    assert runner.reason.startswith(sentence)


def test_a_machine_without_fast_products_is_the_reason(without_kernels, monkeypatch):
    monkeypatch.setattr("adaedl.models.cpu.backends.has_packed_linear", lambda: False)
    assert why_not_packed(tiny_llama()).startswith("neither this app's kernels nor oneDNN's")


def test_a_pair_reports_which_models_are_slow_and_why():
    fast = tiny_pair("independent")
    assert fast.slow_forwards == []
    slow = tiny_pair("independent", target=tiny_llama(hidden_act="relu"))
    assert [str(sentence) for sentence in slow.slow_forwards] == [
        "toy target runs on transformers' own forward pass, which is slower, because its activation is relu; "
        "the fast kernels support silu, swish, gelu, gelu_new, gelu_pytorch_tanh."
    ]
    itself = tiny_pair("self", target=tiny_llama(hidden_act="relu"))
    assert len(itself.slow_forwards) == 1
