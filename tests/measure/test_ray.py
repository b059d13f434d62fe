"""Tasks on a real Ray cluster with two workers on this machine. Some workers are killed. Waiting is bounded
by Ray's own limits, and nothing is timed."""

import os
import pickle
import platform
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import NamedTuple

import pandas as pd
import pytest
import yaml
from toys import tiny_llama, tiny_pair, toy_tokenizer

from adaedl.cli.main import main, make_parser
from adaedl.cli.record import record_task
from adaedl.errors import Parameter, Sentence, UserError
from adaedl.measure import ray_cluster, sweep
from adaedl.measure.ray_cluster import Share, connected, share_out
from adaedl.measure.ray_worker import code_version, introduce
from adaedl.measure.ray_workers import RayWorkers, unfit
from adaedl.measure.study import real_runs, recordings
from adaedl.measure.workers import Task, Watch
from adaedl.pairs.presets import PRESETS
from adaedl.recordings.recording import Recording
from adaedl.request import Sampling
from adaedl.stopping import STOPPERS
from adaedl.system import machine
from adaedl.system.machine import machine_label

PROJECT = Path(__file__).parents[2]
OPTIONS = ["--head", "--block", "--port=0", "--num-cpus=2", "--num-gpus=0", "--object-store-memory=80000000",
           "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip


class Cluster(NamedTuple):
    address: str
    session: int  # the session id of all its processes

    def worker(self) -> int:
        """Return a process that has loaded a pair."""
        for entry in os.listdir("/proc"):
            with suppress(OSError, ValueError):
                title = Path("/proc", entry, "cmdline").read_bytes().rstrip(b"\0 ")
                is_worker = title in (b"ray::PairWorker", b"ray::PairWorker.do")
                if is_worker and os.getsid(int(entry)) == self.session:
                    return int(entry)
        raise AssertionError("there is no worker")


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this machine with two CPUs. Its processes form a group that ends with the tests."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path: Ray puts sockets into it
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *OPTIONS, f"--temp-dir={folder}"]
        log = Path(folder, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=PROJECT, start_new_session=True, stdout=file, stderr=file)
        try:
            address = Path(folder, "ray_current_cluster")
            deadline = time.monotonic() + 120
            while not (address.exists() and address.read_text()):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield Cluster(address.read_text(), process.pid)
        finally:
            process.terminate()  # ends its child processes too
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> str:
    """A pair of two tiny models in folders, so that every process can load it."""
    folders = []
    for number, model in enumerate((tiny_llama(), tiny_llama(seed=1, num_hidden_layers=1))):
        folder = tmp_path_factory.mktemp("model") / str(number)
        model.save_pretrained(folder)
        toy_tokenizer(32).save_pretrained(folder)
        folders.append(folder)
    return ":".join(map(str, folders))


@pytest.fixture
def sweep_arguments(pair, tmp_path) -> list[str]:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("w1 w2 w3\nw4 w5\nw6 w7 w8\nw9\n")
    options = ["--temperatures", "0,0.8,1.2", "--lanes", "fixed:k=2,adaedl", "--max-new-tokens", "24"]
    return ["sweep", "--pair", pair, "--prompts", str(prompts), *options]


def after(monkeypatch, module, name: str, calls: int, then) -> None:
    """Call `then` after this number of calls of a function."""
    function, numbers = getattr(module, name), count(1)

    def call(*arguments, **options):
        result = function(*arguments, **options)
        if next(numbers) == calls:
            then()
        return result

    monkeypatch.setattr(module, name, call)


def test_a_resumed_sweep_on_a_cluster_that_loses_a_worker_has_the_same_rows(
    cluster, sweep_arguments, tmp_path, monkeypatch, capsys
):
    local, mixed = tmp_path / "local.csv", tmp_path / "mixed.csv"
    assert main([*sweep_arguments, "--csv", str(local)]) == 0
    lines = local.read_text().splitlines(keepends=True)
    mixed.write_text("".join(lines[: 1 + 2 * 3]))  # two cells
    capsys.readouterr()

    after(monkeypatch, sweep, "append_csv", 2, lambda: os.kill(cluster.worker(), signal.SIGKILL))
    on_ray = ["--csv", str(mixed), "--resume", "--ray", cluster.address, "--ray-workers", "2"]
    assert main([*sweep_arguments, *on_ray]) == 0
    err = capsys.readouterr().err
    assert "lost a worker on" in err
    assert "runs again" in err

    same = [*sweep.SETUP, *sweep.CELL, "lane", "stopper", "tokens", "acceptance_rate", "draft_length",
            "block_efficiency", "mean_beta", "same_text", "prompt_text", "machine"]  # fmt: skip
    frames = [sweep.read_rows(file)[same] for file in (local, mixed)]
    assert [len(frame) for frame in frames] == [4 * 3 * 3] * 2
    keys = [*sweep.CELL, "lane"]
    expected, rows = (frame.sort_values(keys).reset_index(drop=True) for frame in frames)
    assert not rows.duplicated(keys).any()
    pd.testing.assert_frame_equal(rows, expected)
    assert set(rows["machine"]) == {machine_label("cpu")}


@pytest.fixture
def ray(cluster):
    with connected(cluster.address) as ray:
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield ray


def load(name: str) -> str:
    """Replaces loading a pair, so that workers do not import torch."""
    if name == "absent":
        raise UserError("There is no pair {}.", Parameter(name))
    return name.upper()


def name_of(pair: str, watch: Watch, number: int = 0) -> tuple[str, int]:
    return pair, number


def die(pair: str, watch: Watch) -> None:
    os._exit(1)


def fail_once(pair: str, watch: Watch, marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        raise RuntimeError("the device is broken")
    return "repaired"


def refuse(pair: str, watch: Watch) -> None:
    raise UserError("{} is too long for {}.", Parameter("prompt"), pair)


def wait_until_enough(pair: str, watch: Watch) -> str:
    while not watch.enough():
        watch.progress(0.5)
        time.sleep(0.01)
    return f"{pair}, ended"


def workers_on(ray, notes: list[str], count: int, accept=lambda description: None) -> RayWorkers:
    return RayWorkers(ray, Share(count, 1, 0), load, str.lower, accept, notes.append)


def test_a_task_that_loses_three_workers_is_given_up_and_others_continue(ray, tmp_path):
    notes: list[str] = []
    good = [Task("one", partial(name_of, number=number), f"task {number}") for number in range(6)]
    with workers_on(ray, notes, 2) as workers:
        assert workers.begin("one") == "one"
        faulty = Task("one", partial(fail_once, marker=tmp_path / "failed"), "the faulty task")
        tasks = [Task("one", die, "the deadly task"), *good, faulty]
        results = {task.label: result for task, result in workers.run(tasks)}
        assert results.pop(faulty.label) == "repaired"
        assert results == {f"task {number}": ("ONE", number) for number in range(6)}
        assert workers.failures == ["the deadly task"]
        assert (
            sum("(its process or machine is gone); the deadly task runs again" in line for line in notes) == 2
        )
        assert sum("the deadly task is given up after 3 workers" in line for line in notes) == 1
        assert sum("(the device is broken); the faulty task runs again" in line for line in notes) == 1

        # The same workers load another pair, follow one task, and pass on a UserError.
        shares: list[float] = []
        watch = Watch(shares.append, lambda: 0.5 in shares)
        ((_, result),) = workers.run([Task("two", wait_until_enough, "a long task")], watch)
        assert (result, set(shares) - {0.0}) == ("TWO, ended", {0.5})  # 0 before its worker has begun
        with pytest.raises(UserError) as raised:
            list(workers.run([Task("two", refuse, "a wrong task")]))
        assert raised.value.sentence.naming(lambda name: name.option) == "--prompt is too long for TWO."


def test_unsuitable_workers_are_refused_in_one_sentence(ray):
    notes: list[str] = []
    with workers_on(ray, notes, 1) as workers, pytest.raises(UserError, match="There is no pair absent"):
        workers.begin("absent")
    accepted: list[str] = []

    def accept_one(description: str) -> None:
        if accepted:
            raise UserError("another machine")
        accepted.append(description)

    with workers_on(ray, notes, 2, accept_one) as workers:
        workers.begin("one")
        tasks = [Task("one", partial(name_of, number=number), "a task") for number in range(4)]
        while not notes:  # the second worker has not loaded the pair yet
            assert sorted(number for _, (_, number) in workers.run(tasks)) == [0, 1, 2, 3]
    assert len(notes) == 1
    assert notes[0].endswith("is not used: another machine")


# Without a cluster.


def test_a_worker_needs_the_same_code_and_the_same_stoppers(monkeypatch):
    hello = introduce([])
    assert (hello.host, unfit(hello)) == (platform.node(), None)
    assert str(unfit(hello._replace(version="0.0.9 (abc)"))) == (
        f"{platform.node()} has adaedl 0.0.9 (abc) and this machine {code_version()}; install the same "
        "version on all machines."
    )
    monkeypatch.setitem(STOPPERS, "own", STOPPERS["fixed"])
    assert str(unfit(hello)).endswith(" lacks the stoppers own. Install what registers them there, too.")
    problem = Sentence("Stoppers of {} are not loaded.", "rules")
    assert str(unfit(hello._replace(problems=[problem]))).endswith("own. Stoppers of rules are not loaded.")


def test_the_tasks_of_every_command_can_be_pickled(tmp_path):
    prompt = sweep.Prompt("chat", 1, "w1 w2")
    grid = sweep.Grid((prompt,), (0.7,), ("fixed:k=2",), max_new_tokens=4)
    cell = recordings.Cell(recordings.Condition("toy", "shared_noise", 0.7), prompt)
    settings = {"prompt": prompt.text, "sampling": Sampling(0.7), "max_new_tokens": 4}
    tasks = [
        *sweep.tasks_of("toy", grid),
        *recordings.tasks_of([cell], 4),
        *real_runs.tasks_of(tmp_path, ["toy"], (prompt,), 4),
        Task("toy", partial(record_task, **settings), "the prompt"),
    ]
    assert len(tasks) == 5
    for task in tasks:
        work = pickle.loads(pickle.dumps(task.work))
        result = pickle.loads(pickle.dumps(work(tiny_pair("feature"), Watch())))
        assert len(result if not isinstance(result, Recording) else result.token_ids) > 1


def test_a_pickled_error_keeps_the_parts_of_its_sentence():
    error = pickle.loads(pickle.dumps(UserError("{} is {:g}; {{x}}", Parameter("top_p"), 2)))
    assert str(error) == "top_p is 2; {x}"
    assert error.sentence.naming(lambda parameter: parameter.option) == "--top-p is 2; {x}"


GPU, CPU = {"CPU": 32.0, "GPU": 4.0}, {"CPU": 16.0}


@pytest.mark.parametrize(
    ("machines", "count", "use_gpus", "share"),
    [
        ([CPU, CPU | {"CPU": 10.0}], None, True, Share(2, 10, 0)),  # one worker on each machine
        ([CPU, CPU], 3, True, Share(3, 8, 0)),
        ([{"CPU": 2.0}], 9, True, Share(9, 1, 0)),
        ([GPU, GPU, CPU], None, True, Share(8, 8, 1)),  # a machine without a GPU has no worker
        ([GPU, CPU], 2, True, Share(2, 8, 1)),
        ([GPU, CPU], None, False, Share(2, 16, 0)),
        ([{"GPU": 1.0}], None, True, Share(1, 0, 1)),
    ],
)
def test_there_is_one_worker_per_gpu_or_else_per_machine(machines, count, use_gpus, share):
    assert share_out(machines, count, use_gpus) == share


def test_a_cluster_without_a_machine_is_refused():
    with pytest.raises(UserError, match="has no free machine"):
        share_out([{"memory": 1.0}], None, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "ray://host:10001"], "--ray is 'ray://host:10001'; it must be auto, or HOST:PORT"),
        (["--ray-workers", "2"], "--ray-workers needs --ray."),
        (["--ray", "auto", "--ray-workers", "0"], "--ray-workers is 0; it must be a whole number from 1"),
        (
            ["--ray", "auto", "--device", "cuda:1"],
            "--device is 'cuda:1'; with --ray every worker has its own",
        ),
    ],
)
@pytest.mark.parametrize("command", [["sweep"], ["study"], ["record", "w1"]], ids=lambda words: words[0])
def test_invalid_options_are_refused_before_connecting(
    command, options, message, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_an_address_without_a_cluster_gives_one_sentence(monkeypatch, capsys):
    with socket.socket() as closed:  # bound, to reserve the port, but not listening
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert main(["record", "w1", "--ray", address]) == 2
    message = (
        f"error: There is no Ray cluster at {address} (Connection refused); start one with ray start --head."
    )
    assert capsys.readouterr().err == message + "\n"
    silent = SimpleNamespace(init=lambda **_: Event().wait(), is_initialized=lambda: False)
    monkeypatch.setattr(ray_cluster, "CONNECT_S", 0.01)
    for address, message in (("host:1", "answers at host:1; start one"), ("auto", "answers on this machine")):
        with pytest.raises(UserError, match=message):
            ray_cluster._connect(silent, address)


def test_missing_ray_gives_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["record", "w1", "--ray", "auto"]) == 2
    assert capsys.readouterr().err == 'error: --ray needs Ray; run pip install "adaedl[ray]".\n'


def test_rows_name_a_gpu_by_its_number_on_the_host(monkeypatch):
    monkeypatch.setattr(machine, "device_name", lambda device: "a GPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7")
    assert machine_label("cuda:1", "node17") == "node17 cuda:7 (a GPU)"
    assert machine_label("cuda:0+cuda:1", "node17") == "node17 cuda:5+cuda:7 (a GPU)"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert machine_label("cuda:1", "") == "cuda:1 (a GPU)"


def test_the_examples_for_slurm_and_kubernetes_are_valid():
    blocks = (PROJECT / "docs" / "scaling.md").read_text("utf-8").split("```")
    texts = {block.partition("\n")[0]: block.partition("\n")[2] for block in blocks[1::2]}
    subprocess.run(["bash", "-n"], input=texts["bash"].encode(), check=True)
    job = yaml.safe_load(texts["yaml"])
    commands = [job["spec"]["entrypoint"], texts["bash"].strip().splitlines()[-1].replace('"$workers"', "8")]
    for command in commands:
        args = make_parser().parse_args(shlex.split(command)[3:])
        assert (args.ray_workers, args.resume, args.pair in PRESETS) == (8, True, True)
