"""Int8 models read layer by layer have the weights of the whole model and are cached on disk."""

import gc
import json
import os
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_runners import token_ids
from toys import tiny_llama, tiny_qwen2, toy_tokenizer

from adaedl.cli.main import main
from adaedl.errors import UserError
from adaedl.models.cpu import int8_cache, layerwise
from adaedl.models.cpu.int8_cache import int8_folder, kept_bytes
from adaedl.models.cpu.int8_layout import lay_out
from adaedl.models.cpu.int8_linear import Int8Linear, quantize_model
from adaedl.models.cpu.layerwise import open_layerwise, packs_alike
from adaedl.models.factory import make_runner
from adaedl.pairs import loading
from adaedl.pairs.loading import load_pair
from adaedl.pairs.reading import load_model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Use an empty cache that keeps models of any size, and int8 on any machine."""
    monkeypatch.setenv("ADAEDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(layerwise, "CACHED_FROM", 0)
    monkeypatch.setattr(loading, "pick_dtype", lambda device, dtype: torch.int8)


def save(folder, model, **options):
    model.save_pretrained(folder, **options)
    toy_tokenizer(32).save_pretrained(folder)
    return folder


def logits(runner, count: int = 20):
    return runner.forward(token_ids(count), runner.new_cache(count)).logits


def packed(folder):
    """Return the runner of the model in a folder, read layer by layer."""
    opened = open_layerwise(folder, "model")
    assert packs_alike(opened)
    opened.fill()
    return make_runner(opened.model, consume=True)


def packed_whole(folder):
    model = load_model(folder, CPU, torch.float32)
    quantize_model(model)
    return make_runner(model)


def edit(folder, change) -> None:
    """Change the weights in a folder's only file, without changing the file's time."""
    file = folder / "model.safetensors"
    stat = file.stat()
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def quantised(monkeypatch) -> list[str]:
    """The names of linear layers in the order in which they are quantised."""
    names = []
    quantise = layerwise.Layerwise._quantise

    def recording_quantise(self, name, shape):
        names.append(name)
        return quantise(self, name, shape)

    monkeypatch.setattr(layerwise.Layerwise, "_quantise", recording_quantise)
    return names


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("shards", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("build", [tiny_llama, tiny_qwen2])
def test_a_model_read_layer_by_layer_has_the_bits_of_the_whole_model(tmp_path, build, dtype, shards, tied):
    model = build(tie_word_embeddings=tied).to(dtype)
    folder = save(tmp_path / "model", model, max_shard_size="20KB" if shards else "1GB")
    assert (folder / "model.safetensors.index.json").exists() == shards
    whole = packed_whole(folder)
    for runner in (packed(folder), packed(folder)):  # quantised, and from the cache
        assert runner.path == whole.path
        assert torch.equal(logits(runner), logits(whole))
        assert torch.equal(runner.embeddings, whole.embeddings)


def test_quantising_in_parts_equals_quantising_at_once(tmp_path, monkeypatch):
    folder = save(tmp_path / "model", tiny_llama())
    monkeypatch.setattr(layerwise, "CHUNK", 100)
    whole = load_model(folder, CPU, torch.float32)
    quantize_model(whole)
    opened = open_layerwise(folder, "model")
    opened.fill()
    for name, expected in whole.named_modules():
        if isinstance(expected, Int8Linear) and name != "lm_head":
            index, _, own = name.removeprefix("model.layers.").partition(".")
            linear = opened.layers[int(index)].get_submodule(own)
            assert torch.equal(linear.weight, expected.weight)
            assert torch.equal(linear.scale, expected.scale)


def test_a_layer_is_freed_once_it_is_unused(tmp_path):
    opened = open_layerwise(save(tmp_path / "model", tiny_llama()), "model")
    gc.collect()
    gc.disable()
    try:
        for layer in opened.layers:
            references = [weakref.ref(layer), weakref.ref(layer.mlp.up_proj.weight)]
            del layer  # the last strong reference
            assert [reference() for reference in references] == [None, None]
        assert all(weight.is_meta for weight in opened.model.parameters())
    finally:
        gc.enable()


def test_packing_reads_each_layer_once_and_in_order(tmp_path, quantised):
    opened = open_layerwise(save(tmp_path / "model", tiny_llama()), "model")
    opened.fill()
    make_runner(opened.model, consume=True)
    layers = [name.split(".")[2] for name in quantised if name != "lm_head"]
    assert layers == sorted(layers)
    assert len(quantised) == len(set(quantised)) == 3 * 7 + 1


def test_an_int8_pair_never_reads_a_whole_model(tmp_path, monkeypatch):
    target, draft = save(tmp_path / "target", tiny_llama()), save(tmp_path / "draft", tiny_llama(1))
    expected = [logits(packed_whole(folder)) for folder in (target, draft)]
    monkeypatch.setattr(loading, "load_model", None)
    fractions = []
    pair = load_pair(f"{target}:{draft}", device="cpu", progress=lambda _, done: fractions.append(done))
    assert torch.equal(logits(pair.target), expected[0])
    assert torch.equal(logits(pair.drafter.runner), expected[1])
    assert fractions.count(1 / 3) == 2


@pytest.mark.parametrize("wider", ["target", "draft"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_wider_of_two_padded_vocabularies_is_cut(tmp_path, wider, tied):
    models = [
        tiny_llama(seed, 40 if role == wider else 32, tie_word_embeddings=tied)
        for seed, role in enumerate(("target", "draft"))
    ]
    folders = [save(tmp_path / str(index), model) for index, model in enumerate(models)]
    pair = load_pair(f"{folders[0]}:{folders[1]}", device="cpu")
    for runner, folder in zip((pair.target, pair.drafter.runner), folders, strict=True):
        assert runner.vocab_size == 32
        assert torch.equal(logits(runner), logits(packed_whole(folder))[:, :32])


def test_first_layers_that_disagree_with_transformers_are_refused(tmp_path, monkeypatch):
    """For example because a configuration has a setting that the fast path does not know."""
    from transformers.models.llama import modeling_llama

    folder = save(tmp_path / "model", tiny_llama())
    norm = modeling_llama.LlamaRMSNorm.forward
    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", lambda self, x: 1.1 * norm(self, x))
    with pytest.raises(UserError, match="different logits for a text read in parts than for the text"):
        load_pair(f"{folder}:{folder}", device="cpu")


def damage(folder, kind: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    if kind == "a weight is missing":
        edit(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    elif kind == "a weight too many":
        edit(folder, lambda weights: weights.update({"model.layers.7.up": torch.ones(3)}))
    elif kind == "another shape":
        edit(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(7)}))
    elif kind == "a shortened file":
        os.truncate(folder / "model.safetensors", 1000)
    elif kind == "fewer layers":
        config["num_hidden_layers"] = 2
    elif kind == "no layers":
        config["num_hidden_layers"] = 0
    else:
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))


REFUSALS = {
    "a weight is missing": r"lacks 1 of its weights, starting with model\.layers\.1\.mlp\.up_proj\.weight",
    "a weight too many": r"leaves out 1 of the weights in its files, starting with model\.layers\.7\.up",
    "another shape": r"has no causal language model that can be loaded: ",
    "a shortened file": r"has no weights that can be loaded: ",
    "fewer layers": r"leaves out 9 of the weights in its files, starting with model\.layers\.2\.",
    "no layers": r"leaves out 27 of the weights in its files, starting with model\.layers\.0\.",
    "code of its own": r"that can be loaded: it needs its own code",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_int8_and_float32_refuse_the_same_files(tmp_path, kind, monkeypatch):
    folder = save(tmp_path / "model", tiny_llama())
    damage(folder, kind)
    sentences = []
    for dtype in (torch.int8, torch.float32):
        monkeypatch.setattr(loading, "pick_dtype", lambda device, _, dtype=dtype: dtype)
        with pytest.raises(UserError, match=REFUSALS[kind]) as error:
            load_pair(f"{folder}:{folder}", device="cpu")
        sentences.append(str(error.value))
    assert sentences[0] == sentences[1]


def test_renamed_weights_are_read_by_transformers(tmp_path):
    model = tiny_llama(tie_word_embeddings=True)
    folder = save(tmp_path / "model", model)

    def rename(weights):
        for name in list(weights):
            weights[name.removeprefix("model.")] = weights.pop(name)

    edit(folder, rename)
    assert open_layerwise(folder, "model") is None
    quantize_model(model)
    pair = load_pair(f"{folder}:{folder}", device="cpu")
    assert torch.equal(logits(pair.target), logits(make_runner(model)))


def test_a_tied_head_stored_twice_is_read_by_transformers(tmp_path):
    folder = save(tmp_path / "model", tiny_llama(tie_word_embeddings=True))
    edit(folder, lambda weights: weights.update({"lm_head.weight": torch.randn(32, 32)}))
    assert open_layerwise(folder, "model") is None


def test_layerwise_reading_skips_buffers_of_older_versions(tmp_path):
    folder = save(tmp_path / "model", tiny_llama())
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit(folder, lambda weights: weights.update({name: torch.ones(4)}))
    assert torch.equal(logits(packed(folder)), logits(packed_whole(folder)))


def test_a_file_truncated_while_it_is_read_is_reported(tmp_path, monkeypatch):
    folder = save(tmp_path / "model", tiny_llama())

    def cut_short(opened):
        os.truncate(folder / "model.safetensors", 1000)
        return True

    monkeypatch.setattr(layerwise, "packs_alike", cut_short)
    with pytest.raises(UserError, match="has no causal language model that can be loaded: "):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_memory_check_counts_the_bytes_of_int8(tmp_path, monkeypatch):
    folder = save(tmp_path / "model", tiny_llama(hidden_size=64, intermediate_size=256))
    need = open_layerwise(folder, "model").needed_bytes()
    layer, outputs = 64 * (64 + 2 * 32 + 64) + 3 * 64 * 256, 64 + 2 * 32 + 64 + 2 * 256 + 64
    matrices = 3 * (layer + 8 * outputs) + 32 * (64 + 8)
    assert need == matrices + 2 * 4 * (32 * 64 + 7 * 64) + 3 * layer
    monkeypatch.setattr(loading, "available_memory", lambda: round(1.15 * need) + 1)
    assert load_pair(f"{folder}:{folder}", device="cpu")
    monkeypatch.setattr(loading, "available_memory", lambda: round(1.15 * need) - 2)
    with pytest.raises(UserError, match=r"needs about 0\.0 GiB of memory, but only 0\.0 GiB are free here"):
        load_pair(f"{folder}:{folder}", device="cpu")


def test_the_second_start_quantises_nothing(tmp_path, quantised):
    folder = save(tmp_path / "model", tiny_llama())
    first = packed(folder)
    assert len(quantised) == 3 * 7 + 1
    quantised.clear()
    assert torch.equal(logits(packed(folder)), logits(first))
    assert quantised == []
    assert kept_bytes() > sum(w.numel() for name, w in load_file(folder / "model.safetensors").items())


def test_the_list_of_pairs_shows_the_size_of_cached_int8_weights(tmp_path, capsys):
    assert main(["pairs", "--device", "cpu"]) == 0
    assert "int8 weights take" not in capsys.readouterr().out
    packed(save(tmp_path / "model", tiny_llama()))
    assert main(["pairs", "--device", "cpu"]) == 0
    assert f"int8 weights take 0.0 GB in {int8_folder()}, which you can delete." in capsys.readouterr().out


def test_a_small_model_is_not_cached(tmp_path, monkeypatch):
    monkeypatch.setattr(layerwise, "CACHED_FROM", 10**6)
    packed(save(tmp_path / "model", tiny_llama()))
    assert not int8_folder().exists()


@pytest.mark.parametrize("fault", ["a bit", "cut short", "empty", "of another layer", "text"])
def test_only_the_damaged_file_is_rebuilt(tmp_path, quantised, caplog, fault):
    folder = save(tmp_path / "model", tiny_llama())
    expected = logits(packed(folder))
    [file] = int8_folder().glob("*/layer-001.safetensors")
    good = content = file.read_bytes()
    if fault == "a bit":
        content = content[:-70] + bytes([content[-70] ^ 1]) + content[-69:]
    elif fault == "cut short":
        content = content[:-100]
    elif fault == "empty":
        content = b""
    elif fault == "of another layer":
        content = file.with_name("layer-002.safetensors").read_bytes()
    else:
        content = b"not a file of weights, whatever its name is"
    file.write_bytes(content)
    quantised.clear()
    assert torch.equal(logits(packed(folder)), expected)
    assert {name.split(".")[2] for name in quantised} == {"1"}
    assert "made again" in caplog.text
    assert file.read_bytes() == good
    quantised.clear()
    packed(folder)
    assert quantised == []


@pytest.mark.parametrize("change", ["weights", "weights, its time set back", "shards"])
def test_a_changed_model_never_gets_old_weights(tmp_path, quantised, change):
    folder = save(tmp_path / "model", tiny_llama())
    old = logits(packed(folder))
    file = folder / "model.safetensors"
    stat = file.stat()
    if change == "shards":
        file.unlink()
    save(folder, tiny_llama(seed=1), max_shard_size="20KB" if change == "shards" else "1GB")
    if change == "weights, its time set back":
        assert file.stat().st_size == stat.st_size
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    runner = packed(folder)
    assert torch.equal(logits(runner), logits(packed_whole(folder)))
    assert not torch.equal(logits(runner), old)
    assert len(list(int8_folder().iterdir())) == 1  # the old model's weights have been removed


def test_cached_weights_of_a_deleted_model_are_removed(tmp_path):
    old, other = save(tmp_path / "old", tiny_llama()), save(tmp_path / "other", tiny_llama(seed=1))
    for folder in (old, other):
        packed(folder)
    (old / "model.safetensors").unlink()
    old.rename(tmp_path / "elsewhere")
    packed(save(tmp_path / "new", tiny_llama(seed=2)))
    sources = {json.loads(file.read_text())["source"] for file in int8_folder().glob("*/source.json")}
    assert sources == {str(other), str(tmp_path / "new")}


def test_a_full_disk_disables_only_the_cache(tmp_path, small_disk, monkeypatch, caplog):
    folder = save(tmp_path / "model", tiny_llama())
    monkeypatch.setenv("ADAEDL_CACHE", str(small_disk.folder / "cache"))
    small_disk.fill()
    runner = packed(folder)
    small_disk.make_room()
    assert torch.equal(logits(runner), logits(packed_whole(folder)))
    assert "are not kept" in caplog.text
    assert not list(int8_folder().iterdir())


def test_an_incomplete_file_of_a_killed_process_is_removed(tmp_path, monkeypatch):
    one, two = save(tmp_path / "one", tiny_llama()), save(tmp_path / "two", tiny_llama(seed=1))
    packed(one)
    [cached] = int8_folder().iterdir()
    parts = [cached / f"layer-000.safetensors.{name}.part" for name in ("old", "new")]
    for part in parts:
        part.touch()
    os.utime(parts[0], (0, 0))
    packed(two)
    assert [part.exists() for part in parts] == [False, True]


def test_two_processes_that_write_at_once_see_only_complete_files(tmp_path, monkeypatch):
    """The second process starts and ends while the first is writing a file."""
    folder = save(tmp_path / "model", tiny_llama())
    write_and_rename = int8_cache._write_and_rename
    others = []

    def run_other_process(file, write):
        if file.name == "layer-001.safetensors" and not others:
            others.append(None)
            others.append(packed(folder))
        write_and_rename(file, write)

    monkeypatch.setattr(int8_cache, "_write_and_rename", run_other_process)
    first = packed(folder)
    monkeypatch.undo()
    assert torch.equal(logits(first), logits(others[1]))
    assert not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize(("outputs", "inputs"), [(2, 4), (24, 32), (70, 64), (96, 96)])
def test_int8_weights_are_laid_out_in_blocks(outputs, inputs, gate):
    weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
    parts, size = (2, 16) if gate else (1, 32)
    tiles, sums = lay_out(weight, size, parts)
    blocks = -(-outputs // 32)
    assert tiles.shape == (blocks, inputs // 4, 32, 4)
    expected = torch.zeros(blocks, 32, inputs, dtype=torch.int8)
    for part, rows in enumerate(weight.chunk(parts)):
        for index, row in enumerate(rows):
            expected[index // size, part * size + index % size] = row
    assert torch.equal(tiles.transpose(1, 2).flatten(2), expected)
    assert torch.equal(sums, expected.sum(2, dtype=torch.int32))
