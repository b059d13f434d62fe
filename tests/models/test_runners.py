"""The packed CPU runner and CUDA graphs against transformers, drafters against a plain forward, caches."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from toys import Replayed, graphed, rounded, tiny_drafter_net, tiny_llama, tiny_pair, tiny_qwen2
from transformers import GemmaConfig, GemmaForCausalLM

from adaedl.decoding import decode, read_prompt
from adaedl.errors import UserError
from adaedl.models.cpu import backends
from adaedl.models.cpu.families import can_pack
from adaedl.models.cpu.linear import PackedGate, PackedLinear
from adaedl.models.cpu.packed import PackedModel, same_bits
from adaedl.models.cuda import graphs as cuda
from adaedl.models.cuda.graphs import GraphedLlama, make_graphed
from adaedl.models.cuda.steps import RowPositions, TorchSteps
from adaedl.models.drafters.feature import FeatureDrafter, load_feature_drafter
from adaedl.models.factory import make_runner
from adaedl.models.protocol import PREFILL_CHUNK, prefill
from adaedl.models.rotary import cos_and_sin
from adaedl.models.transformers import TransformersRunner
from adaedl.request import Sampling
from adaedl.stopping import make_stopper

PACKABLE = {
    "llama, grouped queries": lambda: tiny_llama(),
    "llama, one key a query": lambda: tiny_llama(num_key_value_heads=4),
    "llama, biases": lambda: tiny_llama(attention_bias=True),
    "llama, tied embeddings": lambda: tiny_llama(tie_word_embeddings=True),
    "llama, wide heads": lambda: tiny_llama(
        head_dim=12, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    ),
    "qwen2, biases": lambda: tiny_qwen2(),
    "qwen2, tied embeddings": lambda: tiny_qwen2(tie_word_embeddings=True),
}
STRETCHED = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
LAYERS = (0, 1, 3)  # of three: the embedding, a middle one, and the last, normed


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def without_packed_products(without_kernels, monkeypatch):
    monkeypatch.setattr(backends, "has_packed_linear", lambda: False)


def token_ids(count: int, seed: int = 0, vocab_size: int = 32) -> torch.Tensor:
    return torch.randint(vocab_size, (count,), generator=torch.Generator().manual_seed(seed))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def assert_same_model(runner, reference) -> None:
    """Compare forwards of several lengths, with rewinds between them."""
    caches = runner.new_cache(64), reference.new_cache(64)
    for index, (count, keep) in enumerate([(7, 7), (1, 8), (5, 9), (1, 10), (4, 14), (2, 5), (12, 17)]):
        ids = token_ids(count, seed=index)
        out, expected = (
            r.forward(ids, c, "all", LAYERS) for r, c in zip((runner, reference), caches, strict=True)
        )
        assert largest_difference(out.logits, expected.logits) < 1e-4
        assert largest_difference(out.features, expected.features) < 1e-4
        assert out.logits.abs().max() > 1  # large enough for 1e-4 to mean something
        for cache in caches:
            cache.rewind(keep)
            assert cache.length == keep


def assert_same_bits(runner, at_once: int) -> None:
    """Compare each token's logits alone and in a batch, and with a cache and its copy."""
    assert same_bits(runner, token_ids(40), at_once)
    cache = runner.new_cache(41)
    runner.forward(token_ids(40), cache)
    clone = cache.copy()
    following = token_ids(1, seed=2)
    assert torch.equal(runner.forward(following, cache).logits, runner.forward(following, clone).logits)


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
def test_packed_model_agrees_with_transformers(build):
    model = build()
    runner = make_runner(model)
    assert isinstance(runner, PackedModel)
    assert runner.path == "kernels"
    assert_same_model(runner, TransformersRunner(model))


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
def test_packed_model_agrees_with_transformers_on_onednn(build, without_kernels):
    model = build()
    runner = make_runner(model)
    assert runner.path == "oneDNN packed"
    assert_same_model(runner, TransformersRunner(model))


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
def test_packed_model_agrees_with_transformers_in_torch(build, without_packed_products):
    model = build()
    assert_same_model(PackedModel(model), TransformersRunner(model))


def test_torch_without_packed_products_uses_the_plain_path(without_packed_products):
    pair = tiny_pair("feature")
    assert isinstance(pair.target, TransformersRunner)
    assert (pair.target.path, pair.drafter.path) == ("transformers", "torch")


@pytest.mark.parametrize(
    "build",
    [
        lambda: tiny_llama().double(),
        lambda: tiny_llama().half(),
        lambda: tiny_llama(hidden_act="relu"),
        lambda: tiny_llama(rope_parameters=STRETCHED),
        lambda: tiny_llama(num_attention_heads=4, num_key_value_heads=3),
        lambda: tiny_llama(num_hidden_layers=0),
    ],
    ids=["double", "half", "relu", "stretched rotary", "unequal groups", "no layers"],
)
def test_models_that_cannot_be_packed_use_the_plain_path(build):
    model = build()
    assert not can_pack(model)
    assert isinstance(make_runner(model, measure=False), TransformersRunner)  # two of them cannot run


def test_any_architecture_with_full_attention_runs_on_the_plain_path():
    torch.manual_seed(0)
    config = GemmaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    model = GemmaForCausalLM(config).eval()
    runner = make_runner(model)
    cache, ids = runner.new_cache(16), token_ids(6)
    runner.forward(ids[:4], cache)
    output = runner.forward(ids[4:], cache)
    assert runner.path == "transformers"
    assert largest_difference(output.logits, model(ids[None]).logits[0, 4:]) < 1e-4


@pytest.mark.parametrize("make", [make_runner, TransformersRunner], ids=["packed", "transformers"])
def test_logits_are_returned_for_all_rows_the_last_or_none(make):
    runner = make(tiny_llama())
    every, last, none = (
        runner.forward(token_ids(5), runner.new_cache(8), rows) for rows in ("all", "last", "none")
    )
    assert every.logits.shape == (5, 32)
    assert largest_difference(last.logits, every.logits[-1:]) < 1e-5
    assert none.logits is None
    assert every.features is None


@pytest.mark.parametrize("make", [make_runner, TransformersRunner], ids=["packed", "transformers"])
def test_prefill_in_chunks_equals_one_forward(make):
    runner = make(tiny_llama(max_position_embeddings=2 * PREFILL_CHUNK))
    ids = token_ids(PREFILL_CHUNK + 40)
    chunked, whole = runner.new_cache(len(ids) + 1), runner.new_cache(len(ids) + 1)
    features = prefill(runner, ids, chunked, LAYERS)
    assert largest_difference(features, runner.forward(ids, whole, "none", LAYERS).features) < 1e-4
    following = [runner.forward(token_ids(1), cache).logits for cache in (chunked, whole)]
    assert largest_difference(*following) < 1e-4


@pytest.mark.parametrize("make", [make_runner, TransformersRunner], ids=["packed", "transformers"])
@given(turns=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=6))
@settings(max_examples=15)
def test_a_rewound_cache_continues_like_a_new_one(make, turns):
    runner = make(tiny_llama())
    cache, text = runner.new_cache(40), token_ids(0)
    for index, (count, dropped) in enumerate(turns):
        text = torch.cat((text, token_ids(count, seed=index)))
        runner.forward(text[-count:], cache)
        text = text[: max(len(text) - dropped, 0)]
        cache.rewind(len(text))
    text = torch.cat((text, token_ids(1, seed=99)))
    fresh = runner.forward(text, runner.new_cache(40), "last").logits
    assert largest_difference(runner.forward(text[-1:], cache, "last").logits, fresh) < 1e-4


@pytest.mark.parametrize("make", [make_runner, TransformersRunner], ids=["packed", "transformers"])
def test_a_copied_cache_is_independent(make):
    runner = make(tiny_llama())
    cache = runner.new_cache(16)
    runner.forward(token_ids(5), cache)
    clone = cache.copy()
    again = torch.cat((token_ids(5), token_ids(3, seed=1)))
    expected = runner.forward(again, runner.new_cache(16)).logits[5:]
    cache.rewind(2)
    runner.forward(token_ids(4, seed=2), cache)
    assert (cache.length, clone.length) == (6, 5)
    assert largest_difference(runner.forward(token_ids(3, seed=1), clone).logits, expected) < 1e-4


@pytest.mark.parametrize("path", ["kernels", "oneDNN packed", "torch"])
@pytest.mark.parametrize("rows", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [24, 70])
def test_packed_products_equal_plain_products(path, rows, bias, outputs, request):
    if path != "kernels":
        request.getfixturevalue("without_kernels" if "oneDNN" in path else "without_packed_products")
    generator = torch.Generator().manual_seed(rows)
    shapes = ((outputs, 16), (rows, 16), (rows, outputs))
    weight, x, other = (torch.randn(shape, generator=generator) for shape in shapes)
    b = torch.randn(outputs, generator=generator) if bias else None
    linear, gate = PackedLinear(weight, b), PackedGate(weight, b)
    assert linear.path == gate.path == path
    plain = torch.nn.functional.linear(x, weight, b)
    halves = plain.chunk(2, -1)
    before = other.clone()
    for result, expected in (
        (linear(x), plain),
        (linear.plus(x, other), before + plain),
        (gate(x), torch.nn.functional.silu(halves[0]) * halves[1]),
    ):
        assert result.shape == expected.shape
        assert torch.allclose(result, expected, atol=1e-4, rtol=1e-5)
    assert torch.equal(other, before)


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
@pytest.mark.parametrize("at_once", [2, 5, 40])
def test_kernels_give_a_token_the_same_bits_alone_and_in_a_batch(build, at_once):
    assert_same_bits(make_runner(build()), at_once)


def test_kernels_refuse_full_caches_and_invalid_tokens():
    runner = make_runner(tiny_llama())
    cache = runner.new_cache(8)
    with pytest.raises(IndexError, match="9 tokens in a cache for 8"):
        runner.forward(token_ids(9), cache)
    for token in (-1, runner.vocab_size):
        with pytest.raises(IndexError, match=f"is not one of {runner.vocab_size}"):
            runner.forward(torch.tensor([1, token]), cache)
    assert cache.length == 0
    assert runner.forward(token_ids(8), cache).logits.shape == (8, runner.vocab_size)


def test_nan_passes_through_every_kernel():
    for build in (tiny_llama, lambda: rounded(tiny_llama)):
        model = build()
        model.model.layers[1].post_attention_layernorm.weight.data[3] = torch.nan
        runner = make_runner(model)
        assert runner.path.startswith("kernels")
        assert runner.forward(token_ids(3), runner.new_cache(4)).logits.isnan().all()


def test_wrong_or_uncompilable_kernels_are_not_used(monkeypatch, caplog):
    assert backends.kernels.__wrapped__() is backends.kernels()
    multiply = backends.kernels().multiply
    with monkeypatch.context() as wrong:
        wrong.setattr(backends.kernels(), "multiply", lambda packed, x: multiply(packed, x) + 1e-3)
        assert backends.kernels.__wrapped__() is None
    monkeypatch.delattr("adaedl.models.cpu.kernels", raising=True)
    monkeypatch.setitem(sys.modules, "adaedl.models.cpu.kernels", None)
    assert backends.kernels.__wrapped__() is None
    assert "kernels cannot be compiled" in caplog.text


def test_weights_that_fit_no_tile_are_multiplied_by_onednn():
    weight, x = torch.randn(20, 15), torch.randn(3, 15)
    linear = PackedLinear(weight)
    assert linear.path == "oneDNN packed"
    assert torch.allclose(linear(x), x @ weight.T, atol=1e-5)


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
def test_graphed_model_agrees_with_transformers(build):
    model = build()
    assert_same_model(graphed(model), TransformersRunner(model))


@pytest.mark.parametrize("build", PACKABLE.values(), ids=PACKABLE)
def test_joined_weights_are_stored_once_and_the_model_still_works(build):
    model = build()
    ids = token_ids(6)
    before, count = reference_logits(model, ids), sum(weight.numel() for weight in model.parameters())
    runner = graphed(model)
    assert torch.equal(reference_logits(model, ids), before)
    assert sum(weight.numel() for weight in model.parameters()) == count
    attention = model.model.layers[1].self_attn
    queries, keys = attention.q_proj.weight, attention.k_proj.weight
    joined = runner.layers[1].qkv[0]
    assert queries.data_ptr() == joined.data_ptr()
    assert keys.data_ptr() == joined[len(queries) :].data_ptr()


def test_sequences_take_turns_in_the_graphs_buffer():
    model = tiny_llama()
    runner, reference = graphed(model), TransformersRunner(model)
    ours, theirs = ([each.new_cache(64)] for each in (runner, reference))

    def forward(which: int, count: int, keep: int) -> None:
        ids = token_ids(count, seed=keep)
        out, expected = runner.forward(ids, ours[which]), reference.forward(ids, theirs[which])
        assert largest_difference(out.logits, expected.logits) < 1e-4
        for caches in (ours, theirs):
            caches[which].rewind(keep)
            assert caches[which].length == keep

    def copy(which: int) -> None:
        for caches in (ours, theirs):
            caches.append(caches[which].copy())

    forward(0, 20, keep=20)
    copy(0)  # of the sequence in the buffer
    forward(0, 3, keep=21)
    forward(1, 2, keep=22)
    forward(0, 1, keep=19)
    copy(1)  # of a sequence outside the buffer
    forward(2, 4, keep=20)
    forward(1, 18, keep=30)
    forward(0, 5, keep=24)


def test_the_buffer_keeps_its_content_when_it_grows(monkeypatch):
    monkeypatch.setattr(cuda, "MIN_CAPACITY", 16)
    model = tiny_llama()
    runner, reference = graphed(model), TransformersRunner(model)
    ids = token_ids(90)
    first, expected = runner.new_cache(16), reference.new_cache(16)
    runner.forward(ids[:10], first)
    reference.forward(ids[:10], expected)
    second = runner.new_cache(90)
    assert largest_difference(runner.forward(ids, second).logits, reference_logits(model, ids)) < 1e-4
    out = runner.forward(ids[10:14], first).logits
    assert largest_difference(out, reference.forward(ids[10:14], expected).logits) < 1e-4


def reference_logits(model, ids: torch.Tensor) -> torch.Tensor:
    return model(ids[None]).logits[0]


def test_outputs_of_a_graph_survive_its_next_replay():
    runner = graphed(tiny_llama())
    cache = runner.new_cache(16)
    first = runner.forward(token_ids(2), cache, "all", LAYERS)
    before = first.logits.clone(), first.features.clone()
    runner.forward(token_ids(2, seed=1), cache, "all", LAYERS)
    assert torch.equal(first.logits, before[0])
    assert torch.equal(first.features, before[1])


def test_graphs_are_captured_during_prefill_and_never_in_a_round():
    captured = []

    class Counted(Replayed):
        def __init__(self, work, device):
            captured.append(work)
            super().__init__(work, device)

    pair = tiny_pair("feature", runner=lambda model: GraphedLlama(model, Counted))
    context = read_prompt(pair, token_ids(6), 40)
    before = len(captured)
    rounds = decode(pair, None, make_stopper("fixed:k=5"), Sampling(0.8), max_new_tokens=40, context=context)
    assert sum(len(round_.token_ids) for round_ in rounds) == 40
    assert len(captured) == before == 2 * cuda.GRAPHED_ROWS  # with the drafter's features, and without


class RowByRow(TorchSteps):
    """Steps that compute each row by itself, as Triton's do, so that its bits do not depend on other rows."""

    def norm(self, x, weight, eps):
        return torch.cat([super(RowByRow, self).norm(row, weight, eps) for row in x.split(1)])

    def product(self, x, weight, bias):
        return torch.cat([super(RowByRow, self).product(row, weight, bias) for row in x.split(1)])

    def add_product(self, out, x, weight, bias):
        for number, row in enumerate(x.split(1)):
            super().add_product(out[number : number + 1], row, weight, bias)

    def append_and_attend(self, heads, at, cached):
        attended = []
        for row, position in zip(heads.split(1), at.positions.split(1), strict=True):
            attended.append(super().append_and_attend(row, RowPositions(position, at.cos, at.sin), cached))
        return torch.cat(attended)


@pytest.mark.parametrize("rows", [17, 20, 40, 65])
def test_drafts_longer_than_a_graph_have_the_bits_of_single_tokens(rows):
    runner = GraphedLlama(tiny_llama(), Replayed, RowByRow())
    prompt, ids = token_ids(24), token_ids(rows, seed=1)
    results = []
    for at_once in (rows, 1, 5):
        cache = runner.new_cache(128)
        runner.forward(prompt, cache, "none", LAYERS)
        parts = [runner.forward(part, cache, "all", LAYERS) for part in ids.split(at_once)]
        assert cache.length == len(prompt) + rows
        results.append([torch.cat(column) for column in zip(*parts, strict=True)])
    for logits, features in results[1:]:
        assert torch.equal(logits, results[0][0])
        assert torch.equal(features, results[0][1])


def test_failing_or_wrong_graphs_are_not_used(caplog):
    def failing(work, device):
        raise RuntimeError("no graphs here")

    class Wrong(Replayed):
        def __call__(self):
            logits, features = super().__call__()
            return logits + 1, features

    assert isinstance(make_graphed(tiny_llama(), Replayed), GraphedLlama)
    assert not caplog.text
    assert make_graphed(tiny_llama(), failing) is None
    assert "no graphs here" in caplog.text
    assert make_graphed(tiny_llama(), Wrong) is None
    assert "give logits that are" in caplog.text


def test_only_models_on_a_gpu_are_graphed():
    on_gpu = {"device": torch.device("cuda"), "dtype": torch.bfloat16, "config": tiny_llama().config}
    assert cuda.can_graph(SimpleNamespace(**on_gpu))
    scaled = tiny_llama(rope_parameters=STRETCHED).config
    for change in ({"device": torch.device("cpu")}, {"dtype": torch.float64}, {"config": scaled}):
        assert not cuda.can_graph(SimpleNamespace(**on_gpu | change))


def drafter_logits(pair, net, ids: torch.Tensor, features: torch.Tensor, certain: int) -> torch.Tensor:
    """Return the logits after every position from `certain` − 1 on, computed by the parts of DrafterNet and
    an explicit full attention. Positions before `certain` read the target's features, later positions the
    drafter's own output. The bonuses of the text memory are added by their definition."""
    c = net.config
    own, rows = None, []
    keys, values = [], []
    cos, sin = cos_and_sin(torch.arange(len(ids)), c.head_dim, c.rope_theta)
    for i, token in enumerate(ids):
        seen = features[i - 1] if i else torch.zeros_like(features[0])
        embedded = pair.drafter.embeddings[token]
        x = net.input(embedded, seen, None) if i < certain else net.input(embedded, None, own)
        q, k, v = net.project_qkv(x, cos[i], sin[i])
        keys.append(k)
        values.append(v)
        group = c.num_heads // c.num_kv_heads
        k_all, v_all = (torch.stack(t).repeat_interleave(group, 1) for t in (keys, values))  # [T, heads, d]
        weights = ((q * k_all).sum(-1) / c.head_dim**0.5).softmax(0)
        own = net.finish(x, (weights[..., None] * v_all).sum(0).flatten())
        if i >= certain - 1:
            rows.append(with_text(pair.drafter, net, own, ids[: i + 1].tolist(), certain))
    return torch.stack(rows)


def with_text(drafter, net, own: torch.Tensor, text: list[int], certain: int) -> torch.Tensor:
    """Return logits over the drafter's vocabulary and the certain text's tokens outside it. The rows of these
    tokens come from a ridge regression of the trained rows on the embeddings. Followers of a match gain in
    proportion to its length."""
    trimmed = drafter.vocab.tolist()
    vocab = trimmed + [token for token in dict.fromkeys(text[:certain]) if token not in trimmed]
    known = drafter.embeddings[drafter.vocab].double()
    gram = known.T @ known
    gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
    fitted = torch.linalg.inv(gram) @ known.T @ net.head.weight.double()
    rows = [*net.head.weight.double(), *(drafter.embeddings[vocab[len(trimmed) :]].double() @ fitted)]
    logits = torch.stack(rows) @ (own * net.out_norm).double()
    for index, token in enumerate(vocab):
        lengths = [
            length
            for length in range(1, 6)
            for end in range(length, certain)
            if text[end] == token and text[end - length : end] == text[-length:]
        ]
        logits[index] += 0.5 * max(lengths, default=0)
    return logits


@pytest.mark.parametrize("packed", [True, False])
def test_the_feature_drafter_computes_its_network(packed, request):
    if not packed:
        request.getfixturevalue("without_packed_products")
    pair = tiny_pair("feature")
    net = tiny_drafter_net(tiny_llama(), len(pair.drafter.vocab))
    ids = token_ids(12)
    ids[8:10] = ids[5:7] = ids[2:4]  # the text repeats itself
    layers = pair.drafter.feature_layers
    features = pair.target.forward(ids, pair.target.new_cache(16), "none", layers).features

    session = pair.drafter.start(ids[:6], features[:6], capacity=16)
    first = [session.begin(ids[6:7], features[5:6]), session.extend(ids[7]), session.extend(ids[8])]
    assert largest_difference(torch.stack(first), drafter_logits(pair, net, ids[:9], features, 7)) < 1e-3
    # One draft was accepted and the target added a token: two more tokens are certain, drafts are dropped.
    second = [session.begin(ids[7:9], features[6:8]), session.extend(ids[9]), session.extend(ids[10])]
    assert largest_difference(torch.stack(second), drafter_logits(pair, net, ids[:11], features, 9)) < 1e-3


@pytest.mark.parametrize("path", ["kernels int8", "kernels", "oneDNN packed", "torch"])
def test_unrolled_positions_draft_as_if_alone(path, request):
    if "kernels" not in path:
        request.getfixturevalue("without_kernels" if "oneDNN" in path else "without_packed_products")
    pair = tiny_pair("feature", int8="int8" in path)
    assert pair.drafter.path == path
    trimmed = len(pair.drafter.vocab)
    ids, drafts = token_ids(30), token_ids(24).view(4, 6) % pair.target.vocab_size
    layers = pair.drafter.feature_layers
    features = pair.target.forward(ids, pair.target.new_cache(40), "none", layers).features
    for first, count in ((1, 6), (9, 6), (20, 1)):
        session = pair.drafter.start(ids[:first], features[:first], capacity=40)
        alone = session.copy()
        rows, before = slice(first, first + count), features[first - 1 : first - 1 + count]
        unrolled = session.unroll(ids[rows], before)
        together = [unrolled.logits, *(unrolled.extend(step[:count]) for step in drafts)]
        for row in range(count):
            expected = [alone.begin(ids[rows][row : row + 1], before[row : row + 1])]
            expected += [alone.extend(step[row]) for step in drafts]
            drafted = torch.stack([logits[row] for logits in together])
            if "kernels" in path:  # the same bits, so that a replay drafts what live decoding would draft
                assert torch.equal(drafted[:, :trimmed], torch.stack(expected)[:, :trimmed])
            known = len(alone.vocab)  # the other rows may have seen more of the text's own tokens
            assert largest_difference(drafted[:, :known], torch.stack(expected)) < 1e-4
            assert drafted[:, known:].eq(-torch.inf).all()
            assert torch.equal(unrolled.vocab[:known], alone.vocab)
        # The unrolled tokens are certain: the session continues after them.
        after = session.begin(ids[first + count][None], features[first + count - 1][None])
        assert (
            largest_difference(
                after, alone.begin(ids[first + count][None], features[first + count - 1][None])
            )
            < 1e-4
        )


def test_a_copied_session_is_independent():
    for kind in ("feature", "independent"):
        pair = tiny_pair(kind)
        layers = pair.drafter.feature_layers
        ids = token_ids(8)
        features = None
        if layers:
            features = pair.target.forward(ids, pair.target.new_cache(16), "none", layers).features
        rows = (lambda a, b: features[a:b]) if layers else (lambda a, b: None)  # noqa: B023
        session = pair.drafter.start(ids[:4], rows(0, 4), 16)
        clone = session.copy()
        session.begin(ids[4:6], rows(3, 5))
        session.extend(ids[6])
        apart = clone.begin(ids[4:5], rows(3, 4))
        alone = pair.drafter.start(ids[:4], rows(0, 4), 16).begin(ids[4:5], rows(3, 4))
        assert largest_difference(apart, alone) < 1e-5


@pytest.mark.parametrize("path", ["kernels int8", "kernels", "oneDNN packed"])
def test_a_saved_drafter_loads_unchanged(path, tmp_path, request, monkeypatch):
    if path == "oneDNN packed":
        request.getfixturevalue("without_kernels")
    monkeypatch.setattr(backends, "multiplies_int8", lambda: "int8" in path)
    target, pair = tiny_llama(), tiny_pair("feature", int8="int8" in path)
    net = tiny_drafter_net(target, 24)
    file = tmp_path / "drafter.safetensors"
    tensors = {**net.state_dict(), "vocab": pair.drafter.vocab.int()}
    save_file({k: v.clone() for k, v in tensors.items()}, file, {"config": json.dumps(net.config.to_dict())})
    embeddings = target.get_input_embeddings().weight.detach()
    loaded = load_feature_drafter(file, pair.target, embeddings)
    assert isinstance(loaded, FeatureDrafter)
    assert loaded.path == path
    assert torch.equal(loaded.vocab, pair.drafter.vocab)
    assert loaded.feature_layers == pair.drafter.feature_layers
    ids = token_ids(5)
    features = pair.target.forward(ids, pair.target.new_cache(8), "none", loaded.feature_layers).features
    drafted = [
        d.start(ids[:4], features[:4], 8).begin(ids[4:], features[3:4]) for d in (loaded, pair.drafter)
    ]
    assert largest_difference(*drafted) < 1e-6

    with pytest.raises(UserError, match="width 32, not 16"):
        load_feature_drafter(file, pair.target, embeddings[:, :16])
    with pytest.raises(UserError, match="missing"):
        load_feature_drafter(tmp_path / "no.safetensors", pair.target, embeddings)
