"""Pairs on several GPUs: where what goes, and that a target in parts writes what a whole one writes. No GPU
is needed: weights in parts lie in memory and on the disk, and torch's fake tensors stand in for two GPUs."""

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import AlignDevicesHook, attach_align_device_hook_on_blocks
from torch._subclasses.fake_tensor import FakeTensorMode
from toys import tiny_llama, tiny_pair, tiny_qwen2, toy_tokenizer
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicLayer

from adaedl.errors import UserError
from adaedl.models import factory
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.protocol import prefill
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs import placement, reading
from adaedl.pairs.loading import load_pair
from adaedl.pairs.placement import MEMORY_FACTOR, Device, Placement, place, size_of_weights
from adaedl.race import new_trace, race
from adaedl.request import Sampling
from adaedl.sampling import verify_by_match
from adaedl.trace import Trace

GIB = 2**30


def gpus(*sizes: float, speeds: tuple[float, ...] = ()) -> list[Device]:
    """GPUs with so many GiB free."""
    return [Device(f"cuda:{n}", int(size * GIB), speeds[n] if speeds else 1) for n, size in enumerate(sizes)]


# Where what goes


def test_a_pair_that_the_first_gpu_holds_stays_on_it_even_where_another_is_faster():
    assert place("a", 10 * GIB, GIB, gpus(16, 80, speeds=(1, 9))) == Placement("cuda:0")


def test_a_pair_that_only_another_gpu_holds_goes_there_whole():
    assert place("a", 20 * GIB, GIB, gpus(16, 24, 40, speeds=(1, 2, 3))) == Placement("cuda:2")


def test_a_target_that_no_gpu_holds_is_shared_out_and_its_draft_is_on_the_fastest():
    placed = place("a", 28 * GIB, GIB, gpus(24, 24, speeds=(1, 2)))
    assert placed.device == "cuda:1"
    assert sum(placed.target_bytes.values()) >= 28 * GIB
    assert placed.target_bytes["cuda:0"] - placed.target_bytes["cuda:1"] == GIB  # where the draft is
    assert MEMORY_FACTOR * placed.target_bytes["cuda:0"] <= 24 * GIB


def test_equally_fast_gpus_draft_on_the_first_and_a_draft_goes_where_it_fits():
    assert place("a", 28 * GIB, GIB, gpus(24, 24)).device == "cuda:0"
    assert place("a", 28 * GIB, 4 * GIB, gpus(36, 3, speeds=(1, 9))).device == "cuda:0"


@pytest.mark.parametrize(("target", "draft"), [(60, 1), (10, 60)])
def test_a_pair_that_all_gpus_together_do_not_hold_is_refused_with_both_sizes(target, draft):
    with pytest.raises(UserError, match=r"a needs about \d+ GiB, and the 2 GPUs here have 48 GiB free"):
        place("a", target * GIB, draft * GIB, gpus(24, 24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "target"
    tiny_llama().save_pretrained(folder)
    toy_tokenizer(32).save_pretrained(folder)
    return folder


def test_the_size_of_weights_is_read_from_their_headers_and_follows_the_dtype(folder, tmp_path):
    count = sum(parameter.numel() for parameter in tiny_llama().parameters())
    assert size_of_weights(folder, torch.float32) == 4 * count
    assert size_of_weights(folder, torch.bfloat16) == 2 * count
    tiny_llama().save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert size_of_weights(tmp_path, torch.float32) == 4 * count


class Recorder:
    """Stands in for the loading of models: keeps what was asked, and gives a model that has no device."""

    def __init__(self, parts: dict):
        self.asked = []
        self.parts = parts

    def __call__(self, folder, **options):
        self.asked.append(options)
        model = tiny_llama()
        model.moved_to = []
        model.to = lambda device: model.moved_to.append(device) or model
        model.hf_device_map = self.parts
        return model, {"missing_keys": [], "unexpected_keys": []}


@pytest.fixture
def two_gpus(monkeypatch, folder):
    """A machine with two GPUs, the second the faster one, neither of which holds two tiny models."""
    size = size_of_weights(folder, torch.bfloat16)
    devices = [Device("cuda:0", int(1.7 * size), 1), Device("cuda:1", int(1.7 * size), 2)]
    recorder = Recorder({"model.embed_tokens": 0, "model.layers": 1, "lm_head": 1})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(placement, "visible_gpus", lambda: devices)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", recorder)
    probe = SimpleNamespace(check=lambda runner: None)  # these GPUs run nothing
    monkeypatch.setattr(factory, "Probe", lambda *_: probe)
    return SimpleNamespace(recorder=recorder, folder=folder, size=size)


def test_a_pair_too_large_for_one_gpu_is_read_into_both_and_says_so(two_gpus, tmp_path):
    draft = tmp_path / "draft"
    tiny_llama(1).save_pretrained(draft)
    toy_tokenizer(32).save_pretrained(draft)
    pair = load_pair(f"{two_gpus.folder}:{draft}")
    target, drafting = two_gpus.recorder.asked
    room = int(int(1.7 * two_gpus.size) / MEMORY_FACTOR)
    assert target["device_map"] == "auto"
    assert target["max_memory"] == {0: room, 1: room - two_gpus.size, "cpu": 0}
    assert drafting["device_map"] == {"": torch.device("cuda:1")}
    assert pair.target.model.moved_to == []
    assert pair.device == pair.target.device == torch.device("cuda:1")
    assert pair.where == "cuda:1+cuda:0"


def test_a_device_that_was_named_is_kept_to(two_gpus):
    pair = load_pair(f"{two_gpus.folder}:{two_gpus.folder}", device="cuda:1")
    assert two_gpus.recorder.asked[0]["device_map"] == {"": torch.device("cuda:1")}
    assert pair.where == "cuda:1"


def test_layers_that_no_gpu_has_room_for_are_not_left_on_the_disk(two_gpus, monkeypatch):
    two_gpus.recorder.parts["lm_head"] = "disk"
    monkeypatch.setattr(
        placement, "visible_gpus", lambda: [Device(f"cuda:{n}", two_gpus.size, n) for n in range(2)]
    )
    with pytest.raises(UserError, match="do not fit on the GPUs here"):
        load_pair(f"{two_gpus.folder}:{two_gpus.folder}")


def test_without_accelerate_a_target_in_parts_says_what_to_install(two_gpus, monkeypatch):
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    monkeypatch.setattr(
        placement, "visible_gpus", lambda: [Device(f"cuda:{n}", two_gpus.size, n) for n in range(2)]
    )
    with pytest.raises(UserError, match="pip install accelerate"):
        load_pair(f"{two_gpus.folder}:{two_gpus.folder}")


# A target in parts


@pytest.mark.parametrize("build", [tiny_llama, tiny_qwen2])
@pytest.mark.parametrize("kind", ["independent", "feature"])
def test_a_target_in_parts_writes_what_a_whole_one_writes(build, kind, tmp_path):
    """One layer of it waits on the disk, from where accelerate's hooks fetch it at every forward."""
    cpu = torch.device("cpu")
    parts = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    parts |= {"model.layers.2": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    whole = tiny_pair(kind, build(), TransformersRunner)
    apart = dispatch_model(build(), parts, offload_dir=tmp_path, skip_keys="past_key_values")
    assert apart.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    split = tiny_pair(kind, apart, lambda model: TransformersRunner(model, cpu))
    traces = []
    for pair in (whole, split):
        lanes = ["autoregressive", "fixed:k=3", "adaedl"]
        trace = new_trace(pair, "w1 w2 w3", lanes, Sampling(0.9), max_new_tokens=24, seed=5)
        for _ in race(pair, trace):
            pass
        traces.append(trace)
    for ours, theirs in zip(*(trace.lanes for trace in traces), strict=True):
        assert ours.token_ids == theirs.token_ids
        assert [played.accepted for played in ours.rounds] == [played.accepted for played in theirs.rounds]


def test_on_two_devices_tokens_go_in_and_logits_come_out_where_the_draft_is(monkeypatch):
    """On torch's fake tensors, which refuse any operation on tensors of two devices."""
    monkeypatch.setattr(AlignDevicesHook, "init_hook", lambda hook, module: module)  # all are in place
    monkeypatch.setattr(
        DynamicLayer, "lazy_initialization", begin_empty
    )  # its own makes tensors that are real
    first, second = torch.device("cpu"), torch.device("meta")
    target, draft = tiny_llama(), tiny_llama(1)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.inference_mode():
        parts = dict.fromkeys(("model.embed_tokens", "model.rotary_emb", "model.layers.0"), first)
        parts |= dict.fromkeys(("model.layers.1", "model.layers.2", "model.norm", "lm_head"), second)
        fake(mode, target, parts)
        fake(mode, draft, {"": first})
        on_all = dict.fromkeys(parts, False)
        attach_align_device_hook_on_blocks(target, {"": first, **parts}, on_all, skip_keys="past_key_values")
        runner = TransformersRunner(target, first)
        drafter = IndependentDrafter(TransformersRunner(draft))
        prompt = torch.zeros(4, dtype=torch.long, device=first)
        cache = runner.new_cache(16)
        prefill(runner, prompt[:-1], cache)
        session = drafter.start(prompt[:-1], None, 16)
        drafted = session.begin(prompt[-1:], None).argmax(-1, keepdim=True)
        lane = cache.copy()
        output = runner.forward(torch.cat((prompt[-1:], drafted)), lane, "all", (1, 2))
        accepted, emitted = verify_by_match(output.logits.argmax(-1), drafted)
        lane.rewind(3)
        session.rewind(1)
        devices = {t.device for t in (drafted, output.logits, output.features, accepted, emitted)}
        kept = [layer.keys.device for layer in lane.layers.layers]
    assert devices == {first}
    assert kept == [first, second, second]


def begin_empty(layer, keys, values) -> None:
    """A cache's layer before its first keys and values, where they are."""
    layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
    layer.keys, layer.values = keys[..., :0, :], values[..., :0, :]


def fake(mode, model, parts: dict) -> None:
    """Put the weights of each part of a model on a device that is not there."""
    for name, module in model.named_modules():
        device = next((place for part, place in parts.items() if name.startswith(part)), None)
        for store in (module._parameters, module._buffers):
            for key, tensor in store.items():
                store[key] = None if tensor is None else mode.from_tensor(tensor.detach()).to(device)


def test_a_trace_of_several_devices_is_read_again():
    pair = tiny_pair("independent")
    pair.spread = ("cuda:0", "cuda:1")
    trace = new_trace(pair, "w1", ["adaedl"], Sampling(0.5), max_new_tokens=4)
    assert json.loads(trace.to_json())["device"] == "cpu+cuda:0+cuda:1"
    assert Trace.from_json(trace.to_json()).device == "cpu+cuda:0+cuda:1"
