"""Pairs on several GPUs: the placement of models, and split targets that write the same text. No GPU is
needed: split weights are in memory and on disk, and torch's fake tensors stand in for two GPUs."""

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
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.sampling import verify_by_match
from adaedl.trace import Trace

GIB = 2**30


def gpus(*sizes: float, speeds: tuple[float, ...] = ()) -> list[Device]:
    """Return GPUs with these amounts of free memory in GiB."""
    return [Device(f"cuda:{n}", int(size * GIB), speeds[n] if speeds else 1) for n, size in enumerate(sizes)]


def test_a_pair_that_fits_on_the_first_gpu_stays_there():
    assert place("a", 10 * GIB, GIB, gpus(16, 80, speeds=(1, 9))) == Placement("cuda:0")


def test_a_pair_that_fits_only_on_another_gpu_goes_there():
    assert place("a", 20 * GIB, GIB, gpus(16, 24, 40, speeds=(1, 2, 3))) == Placement("cuda:2")


def test_a_target_too_large_for_one_gpu_is_split_with_the_draft_on_the_fastest():
    placement = place("a", 28 * GIB, GIB, gpus(24, 24, speeds=(1, 2)))
    assert placement.device == "cuda:1"
    assert sum(placement.target_bytes.values()) >= 28 * GIB
    assert placement.target_bytes["cuda:0"] - placement.target_bytes["cuda:1"] == GIB  # of the draft
    assert MEMORY_FACTOR * placement.target_bytes["cuda:0"] <= 24 * GIB


def test_the_draft_is_on_the_first_of_equally_fast_gpus_that_it_fits():
    assert place("a", 28 * GIB, GIB, gpus(24, 24)).device == "cuda:0"
    assert place("a", 28 * GIB, 4 * GIB, gpus(36, 3, speeds=(1, 9))).device == "cuda:0"


@pytest.mark.parametrize(("target", "draft"), [(60, 1), (10, 60)])
def test_a_pair_too_large_for_all_gpus_is_refused_with_both_sizes(target, draft):
    with pytest.raises(UserError, match=r"a needs about \d+ GiB, and the 2 GPUs here have 48 GiB free"):
        place("a", target * GIB, draft * GIB, gpus(24, 24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "target"
    tiny_llama().save_pretrained(folder)
    toy_tokenizer(32).save_pretrained(folder)
    return folder


def test_the_size_of_weights_comes_from_their_headers_and_the_dtype(folder, tmp_path):
    count = sum(parameter.numel() for parameter in tiny_llama().parameters())
    assert size_of_weights(folder, torch.float32) == 4 * count
    assert size_of_weights(folder, torch.bfloat16) == 2 * count
    tiny_llama().save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert size_of_weights(tmp_path, torch.float32) == 4 * count


class Recorder:
    """Stands in for the loading of models: records the options and returns a model without a device."""

    def __init__(self, parts: dict):
        self.options = []
        self.parts = parts

    def __call__(self, folder, **options):
        self.options.append(options)
        model = tiny_llama()
        model.moved_to = []
        model.to = lambda device: model.moved_to.append(device) or model
        model.hf_device_map = self.parts
        return model, {"missing_keys": [], "unexpected_keys": []}


@pytest.fixture
def two_gpus(monkeypatch, folder):
    """A machine with two GPUs, the second one faster. Neither has memory for two tiny models."""
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


def test_a_pair_too_large_for_one_gpu_is_read_into_both(two_gpus, tmp_path):
    draft = tmp_path / "draft"
    tiny_llama(1).save_pretrained(draft)
    toy_tokenizer(32).save_pretrained(draft)
    pair = load_pair(f"{two_gpus.folder}:{draft}")
    target_options, draft_options = two_gpus.recorder.options
    capacity = int(int(1.7 * two_gpus.size) / MEMORY_FACTOR)
    assert target_options["device_map"] == "auto"
    assert target_options["max_memory"] == {0: capacity, 1: capacity - two_gpus.size, "cpu": 0}
    assert draft_options["device_map"] == {"": torch.device("cuda:1")}
    assert pair.target.model.moved_to == []
    assert pair.device == pair.target.device == torch.device("cuda:1")
    assert pair.where == "cuda:1+cuda:0"


def test_a_named_device_is_used(two_gpus):
    pair = load_pair(f"{two_gpus.folder}:{two_gpus.folder}", device="cuda:1")
    assert two_gpus.recorder.options[0]["device_map"] == {"": torch.device("cuda:1")}
    assert pair.where == "cuda:1"


def test_layers_that_fit_on_no_gpu_are_refused(two_gpus, monkeypatch):
    two_gpus.recorder.parts["lm_head"] = "disk"
    monkeypatch.setattr(
        placement, "visible_gpus", lambda: [Device(f"cuda:{n}", two_gpus.size, n) for n in range(2)]
    )
    with pytest.raises(UserError, match="do not fit on the GPUs here"):
        load_pair(f"{two_gpus.folder}:{two_gpus.folder}")


def test_splitting_a_target_without_accelerate_names_the_package(two_gpus, monkeypatch):
    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    monkeypatch.setattr(
        placement, "visible_gpus", lambda: [Device(f"cuda:{n}", two_gpus.size, n) for n in range(2)]
    )
    with pytest.raises(UserError, match="pip install accelerate"):
        load_pair(f"{two_gpus.folder}:{two_gpus.folder}")


@pytest.mark.parametrize("build", [tiny_llama, tiny_qwen2])
@pytest.mark.parametrize("kind", ["independent", "feature"])
def test_a_split_target_writes_the_same_text(build, kind, tmp_path):
    """One of its layers is on disk, and accelerate's hooks fetch it for every forward."""
    cpu = torch.device("cpu")
    parts = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    parts |= {"model.layers.2": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    whole = tiny_pair(kind, build(), TransformersRunner)
    dispatched = dispatch_model(build(), parts, offload_dir=tmp_path, skip_keys="past_key_values")
    assert dispatched.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    split = tiny_pair(kind, dispatched, lambda model: TransformersRunner(model, cpu))
    traces = []
    for pair in (whole, split):
        lanes = ["autoregressive", "fixed:k=3", "adaedl"]
        trace = new_trace(pair, "w1 w2 w3", lanes, Sampling(0.9), max_new_tokens=24, seed=5)
        for _ in race(pair, trace):
            pass
        traces.append(trace)
    for ours, theirs in zip(*(trace.lanes for trace in traces), strict=True):
        assert ours.token_ids == theirs.token_ids
        assert [round_.accepted for round_ in ours.rounds] == [round_.accepted for round_ in theirs.rounds]


def test_a_split_target_has_its_inputs_and_outputs_on_the_draft_s_device(monkeypatch):
    """torch's fake tensors refuse any operation on tensors of two devices."""
    monkeypatch.setattr(AlignDevicesHook, "init_hook", lambda hook, module: module)  # weights are in place
    # The original makes real tensors.
    monkeypatch.setattr(DynamicLayer, "lazy_initialization", initialise_empty)
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


def initialise_empty(layer, keys, values) -> None:
    """Initialise a cache's layer on the device of its first keys and values."""
    layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
    layer.keys, layer.values = keys[..., :0, :], values[..., :0, :]


def fake(mode, model, parts: dict) -> None:
    """Put the weights of each part of a model on a fake device."""
    for name, module in model.named_modules():
        device = next((device for part, device in parts.items() if name.startswith(part)), None)
        for store in (module._parameters, module._buffers):
            for key, tensor in store.items():
                store[key] = None if tensor is None else mode.from_tensor(tensor.detach()).to(device)


def test_a_trace_of_several_devices_can_be_read_back():
    pair = tiny_pair("independent")
    pair.spread = ("cuda:0", "cuda:1")
    trace = new_trace(pair, "w1", ["adaedl"], Sampling(0.5), max_new_tokens=4)
    assert json.loads(trace.to_json())["device"] == "cpu+cuda:0+cuda:1"
    assert Trace.from_json(trace.to_json()).device == "cpu+cuda:0+cuda:1"
