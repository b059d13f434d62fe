"""Faults during a race: full memory, NaN logits, a deleted cache. Each is reported in one sentence and leaves
no half-finished state, and the next race runs. (Downloads and disks: test_loading.py.)"""

import json
import shutil
import threading
from dataclasses import replace

import pytest
import torch
from hosted import hosted_models
from toys import tiny_llama, tiny_pair, toy_tokenizer

from adaedl.decoding import decode
from adaedl.errors import Sentence, UserError
from adaedl.measure.sweep import Grid, Prompt
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.request import Sampling
from adaedl.stopping import make_stopper
from components.parts.controls import DEFAULTS
from components.serving.health import health
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.serving.recording_session import RecordingSession, make_recording
from components.serving.sweep_session import Pace, SweepSession, play_sweep

SETTINGS = replace(
    DEFAULTS, prompt="w1 w2 w3", lanes=["autoregressive", "adaedl"], max_new_tokens=30, temperature=0.8
)


def end(models: ModelsState, session: Session, **changes) -> str:
    """Return the key of a race's last status."""
    return json.loads(list(play(models, replace(SETTINGS, **changes), session))[-1].words)["key"]


def break_after(monkeypatch, runner, calls: int, how) -> None:
    """Apply `how` to the outputs of a model's forward after `calls` calls."""
    intact, count = runner.forward, 0

    def forward(*arguments, **options):
        nonlocal count
        count += 1
        output = intact(*arguments, **options)
        return how(output) if count > calls else output

    monkeypatch.setattr(runner, "forward", forward)


def out_of_memory(output):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def nan_logits(output):
    if output.logits is None:
        return output
    logits = output.logits.clone()
    logits[..., 7] = torch.nan
    return output._replace(logits=logits)


@pytest.mark.parametrize("calls", [0, 1, 9], ids=["in the prompt", "at the start", "in the middle"])
def test_full_memory_in_a_race_is_reported_and_the_next_race_runs(monkeypatch, calls):
    models, session = hosted_models(), Session()
    with monkeypatch.context() as broken:
        break_after(broken, models.pair.target, calls, out_of_memory)
        with pytest.raises(UserError, match="cpu has too little free memory for this race; run fewer lanes"):
            end(models, session)
    assert models.in_queue == (0, 0)
    for lane in session.trace.lanes:
        assert lane.token_ids == [token for round_ in lane.rounds for token in round_.token_ids]
    assert end(models, Session()) == "page.status_finished"


@pytest.mark.parametrize("verification", ["shared_noise", "speculative"])
@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("spec", ["autoregressive", "adaedl"])
def test_target_with_nan_logits_is_named_and_writes_nothing(monkeypatch, verification, temperature, spec):
    pair = tiny_pair("independent")
    break_after(monkeypatch, pair.target, 0, nan_logits)
    run = decode(
        pair, pair.encode("w1 w2"), make_stopper(spec), Sampling(temperature), verification=verification
    )
    with pytest.raises(UserError, match=r"toy target produces logits that are not numbers \(NaN\)"):
        next(run)


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_draft_with_nan_logits_is_named(monkeypatch, temperature):
    pair = tiny_pair("independent")
    break_after(monkeypatch, pair.drafter.runner, 0, nan_logits)
    with pytest.raises(UserError, match="toy draft produces logits that are not numbers"):
        next(decode(pair, pair.encode("w1 w2"), make_stopper("adaedl"), Sampling(temperature)))


def test_nan_logits_in_a_race_keep_its_tokens_and_the_next_race_runs(monkeypatch):
    models, session = hosted_models(), Session()
    with monkeypatch.context() as broken:
        break_after(broken, models.pair.target, 12, nan_logits)
        with pytest.raises(UserError, match="not numbers"):
            end(models, session)
    assert any(lane.token_ids for lane in session.trace.lanes)
    assert end(models, Session()) == "page.status_finished"


def test_full_memory_in_a_recording_is_reported_and_the_next_one_is_made(monkeypatch):
    models, session = hosted_models(), RecordingSession()
    with monkeypatch.context() as broken:
        break_after(broken, models.pair.target, 9, out_of_memory)
        with pytest.raises(UserError, match="cpu has too little free memory for this recording; shorten"):
            list(make_recording(models, SETTINGS, session))
    assert (models.in_queue, session.recording) == ((0, 0), None)
    list(make_recording(models, SETTINGS, session))
    assert len(session.recording.token_ids) == SETTINGS.max_new_tokens


def test_sweep_can_continue_after_full_memory(monkeypatch):
    models, session = hosted_models(), SweepSession()
    prompts = (Prompt("list", 1, "w1"), Prompt("list", 2, "w2"))
    grid = Grid(prompts, (0.8,), ("autoregressive", "adaedl"), max_new_tokens=8)
    with monkeypatch.context() as broken:
        updates = play_sweep(models, DEFAULT_PAIR, grid, session, Pace())
        while not next(updates).new_rows:
            pass
        break_after(broken, models.pair.target, 3, out_of_memory)
        with pytest.raises(UserError, match="too little free memory"):
            list(updates)
    assert (models.in_queue, len(session.rows)) == ((0, 0), 2)
    assert list(play_sweep(models, DEFAULT_PAIR, grid, session, Pace()))[-1].done == 4


def test_crash_in_the_engine_frees_the_device(monkeypatch):
    models = hosted_models()

    def crash(output):
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        break_after(broken, models.pair.target, 5, crash)
        with pytest.raises(ZeroDivisionError):
            end(models, Session())
    assert models.in_queue == (0, 0)
    assert end(models, Session()) == "page.status_finished"


@pytest.fixture
def folder(tmp_path):
    """A model in a folder of this machine."""
    tiny_llama().save_pretrained(tmp_path / "model")
    toy_tokenizer(32).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_deleted_cache_stops_no_race_and_is_named_at_the_next_loading(folder):
    models = ModelsState(f"{folder}:{folder}")
    models.load(models.default).result()
    shutil.rmtree(folder)
    assert end(models, Session(), pair=models.default) == "page.status_finished"
    again = ModelsState(models.default)
    with pytest.raises(UserError, match="There is no folder"):
        again.load(again.default).result()
    assert (again.state.phase, again.pair) == ("failed", None)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_damaged_file_is_reported_in_one_sentence_and_the_loaded_pair_stays(folder, file, monkeypatch):
    models = hosted_models()
    before = models.pair
    (folder / file).write_bytes(b"\x00damaged" * 40)
    broken = f"{folder}:{folder}"
    monkeypatch.setattr(models, "default", broken)
    with pytest.raises(UserError) as refusal:
        end(models, Session(), pair=broken)
    assert "\n" not in str(refusal.value)
    assert (models.pair, models.state.phase, models.in_queue) == (before, "ready", (0, 0))
    assert end(models, Session(), pair=DEFAULT_PAIR) == "page.status_finished"


@pytest.fixture(params=["cpu", "cuda"])
def on_a_device(request) -> ModelsState:
    """The host's pair, as if it were on this device, which holds one pair at a time."""
    models = hosted_models()
    models.pair = replace(models.pair, device=torch.device(request.param))
    return models


def test_missing_pair_does_not_unload_the_hosts_pair(on_a_device, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = on_a_device.pair
    with pytest.raises(UserError, match="no/such is not on this machine"):
        end(on_a_device, Session(), pair="no/such:no/such")
    assert (on_a_device.pair, on_a_device.state.phase, on_a_device.failed_at) == (before, "ready", None)


def test_download_delays_nobody_and_can_be_stopped_or_fail(monkeypatch):
    models, network_fails = hosted_models(), threading.Event()

    def fetch_pair(name, progress, **options):
        progress(Sentence("downloading {}", name), None)
        assert network_fails.wait(60)
        raise UserError("no network")

    monkeypatch.setattr("adaedl.pairs.loading.fetch_pair", fetch_pair)
    settings, session = replace(SETTINGS, pair="org/a:org/b"), Session()
    waiting, stopping = play(models, settings, Session()), play(models, settings, session)
    for visitor in (waiting, stopping):
        assert json.loads(next(visitor).words)["key"] == "page.status_loading"
    assert models.in_queue == (0, 0)
    assert end(models, Session()) == "page.status_finished"
    session.stop_requested = True
    assert [update.key for update in stopping] == ["page.status_stopped_early"]
    network_fails.set()
    with pytest.raises(UserError, match="no network"):
        list(waiting)
    assert end(models, Session()) == "page.status_finished"


def test_hosts_pair_returns_after_a_pair_that_does_not_fit(on_a_device, monkeypatch):
    statuses = []

    def load_pair(name, make_room, **options):
        make_room()
        statuses.append(health(on_a_device)["status"])
        if name == DEFAULT_PAIR:
            return hosted_models().pair
        raise UserError("cuda has too little free memory.")

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    monkeypatch.setattr("adaedl.pairs.loading.fetch_pair", lambda name, **options: None)
    with pytest.raises(UserError, match="too little"):
        end(on_a_device, Session(), pair="org/large:org/large")
    on_a_device.on_device(lambda: None).result()
    assert statuses == ["loading"] * 2
    assert (on_a_device.pair.name, health(on_a_device)["status"]) == (DEFAULT_PAIR, "ok")


def test_failed_host_pair_is_reported_until_a_later_attempt_succeeds(monkeypatch):
    available = []

    def load_pair(name, **options):
        if available and name == DEFAULT_PAIR:
            return available[0]
        raise UserError("no network")

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    models = ModelsState(DEFAULT_PAIR)
    models.load_first()
    with pytest.raises(UserError):
        models.load("org/a:org/b").result()
    models.on_device(lambda: None).result()
    assert (health(models)["status"], health(models)["models"]) == ("failed", "no network")
    available.append(hosted_models().pair)
    models.try_again()
    models.on_device(lambda: None).result()
    assert models.pair is None  # the last attempt was a moment ago
    monkeypatch.setattr("components.serving.models_state.RETRY_S", 0)
    models.try_again()
    models.on_device(lambda: None).result()
    assert (models.pair, health(models)["status"]) == (available[0], "ok")


def test_second_pair_is_loaded_beside_the_hosts_and_replaces_it_at_once(monkeypatch):
    loaded = []

    def load_pair(name, make_room=lambda: None, **options):
        loaded.append(name)
        make_room()
        return replace(hosted_models().pair, name=name)

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    monkeypatch.setattr("components.serving.models_state.SPARE_BYTES", 0)
    second = "smollm2-135m-int8"
    models = ModelsState(DEFAULT_PAIR, spare=second)
    models.load_first()
    models.on_device(lambda: None).result()
    for name in (second, DEFAULT_PAIR, second):
        assert models.fetch(name, print) is None
        assert models.load(name).result() is models.pair
        assert (models.pair.name, models.state.phase) == (name, "ready")
    assert loaded == [DEFAULT_PAIR, second]
    models.load("org/a:org/b").result()  # replaces both
    models.load(second).result()
    assert loaded[2:] == ["org/a:org/b", second]
    monkeypatch.setattr("components.serving.models_state.SPARE_BYTES", 2**60)
    small = ModelsState(DEFAULT_PAIR, spare=second)
    small.load_first()
    small.on_device(lambda: None).result()
    assert loaded[4:] == [DEFAULT_PAIR]


def test_restarted_page_has_no_queue_and_no_race():
    models, session = hosted_models(), Session()
    racing = play(models, SETTINGS, session)
    next(racing)
    restarted = hosted_models()
    assert restarted.in_queue == (0, 0)
    assert end(restarted, session) == "page.status_finished"
    racing.close()
