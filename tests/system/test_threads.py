"""The number of threads, on fake file systems and, if they can be created, in real control groups."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from folders import make_tokenizer, save_model

from adaedl.cli.study import cores_words
from adaedl.errors import UserError
from adaedl.pairs.chat import small_environment
from adaedl.system import threads
from adaedl.system.control_groups import cpu_quota, group_with_quota
from adaedl.system.threads import VARIABLES, usable_cores, usable_threads

PROJECT = Path(__file__).parents[2]
V1 = "cgroup cgroup rw,cpu"
V2 = "cgroup2 cgroup2 rw"
MANY = "6400000 100000"  # time of 64 cores, more than any test machine has


def machine(root: Path, groups: list[str], mounts: list[tuple[str, str, str]], files: dict[str, str]) -> Path:
    """Write a fake file system with these lines of /proc/self/cgroup, mounts (top group, mount point, kind)
    and files; return its root."""
    lines = [
        f"{n} 1 0:{n} {top} {place} rw shared:{n} - {kind}" for n, (top, place, kind) in enumerate(mounts)
    ]
    files = {"proc/self/cgroup": "\n".join(groups), "proc/self/mountinfo": "\n".join(lines), **files}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def version_1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


TREES = {
    "a container of version 2": (
        ["0::/"],
        [("/", "/sys/fs/cgroup", V2)],
        {"sys/fs/cgroup/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "no limit": (["0::/"], [("/", "/sys/fs/cgroup", V2)], {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "no period": (["0::/"], [("/", "/sys/fs/cgroup", V2)], {"sys/fs/cgroup/cpu.max": "250000"}, 2.5),
    "the limit of a group above": (
        ["0::/a/b/c"],
        [("/", "/sys/fs/cgroup", V2)],
        {
            "sys/fs/cgroup/a/cpu.max": "300000 100000",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000",
            "sys/fs/cgroup/a/b/c/cpu.max": "400000 100000",
            "sys/fs/cgroup/other/cpu.max": "100000 100000",
        },
        3,
    ),
    "a container that sees only its own group": (
        ["0::/docker/id/inner"],
        [("/docker/id", "/sys/fs/cgroup", V2)],
        {"sys/fs/cgroup/cpu.max": "300000 100000", "sys/fs/cgroup/inner/cpu.max": "200000 100000"},
        2,
    ),
    "a group outside the visible groups": (
        ["0::/../elsewhere"],
        [("/", "/sys/fs/cgroup", V2)],
        {"sys/fs/cgroup/cpu.max": "500000 100000", "sys/fs/elsewhere/cpu.max": "100000 100000"},
        5,
    ),
    "another container's group is mounted too": (
        ["0::/docker/id"],
        [("/docker/other", "/mnt/other", V2), ("/docker/id", "/sys/fs/cgroup", V2)],
        {"mnt/other/cpu.max": "100000 100000", "sys/fs/cgroup/cpu.max": "200000 100000"},
        2,
    ),
    "version 1": (
        ["4:memory:/x", "3:cpu:/a", "0::/"],
        [("/", "/sys/fs/cgroup/memory", "cgroup cgroup rw,memory"), ("/", "/sys/fs/cgroup/cpu", V1)],
        version_1("sys/fs/cgroup/cpu", -1) | version_1("sys/fs/cgroup/cpu/a", 125_000, 50_000),
        2.5,
    ),
    "version 1, mounted with accounting": (
        ["3:cpu,cpuacct:/docker/id"],
        [("/docker/id", "/sys/fs/cgroup/cpu,cpuacct", "cgroup cgroup rw,cpu,cpuacct")],
        version_1("sys/fs/cgroup/cpu,cpuacct", 200_000),
        2,
    ),
    "version 1, accounting alone": (
        ["3:cpuacct:/"],
        [("/", "/sys/fs/cgroup/cpuacct", "cgroup cgroup rw,cpuacct")],
        version_1("sys/fs/cgroup/cpuacct", 100_000),
        None,
    ),
    "both versions": (
        ["1:cpu:/a", "0::/b"],
        [("/", "/sys/fs/cgroup/cpu", V1), ("/", "/sys/fs/cgroup/unified", V2)],
        version_1("sys/fs/cgroup/cpu/a", 300_000) | {"sys/fs/cgroup/unified/b/cpu.max": "200000 100000"},
        2,
    ),
    "a mount point with a space": (
        ["0::/"],
        [("/", "/my\\040groups", V2)],
        {"my groups/cpu.max": "200000 100000"},
        2,
    ),
    "malformed files": (
        ["", "::", "nonsense", "0::/a", "7:cpu:/"],
        [("/", "/sys/fs/cgroup", V2), ("/", "/cpu", V1)],
        {
            "sys/fs/cgroup/cpu.max": "",
            "sys/fs/cgroup/a/cpu.max": "all of it",
            "cpu/cpu.cfs_quota_us": "9" * 400,
            "cpu/cpu.cfs_period_us": "1",
        },
        None,
    ),
    "a period of 0": (["0::/"], [("/", "/g", V2)], {"g/cpu.max": "100000 0"}, None),
    "no such file system": (["0::/"], [], {}, None),
}


@pytest.mark.parametrize(("groups", "mounts", "files", "quota"), TREES.values(), ids=TREES)
def test_the_quota_is_the_smallest_of_a_group_and_the_groups_above_it(tmp_path, groups, mounts, files, quota):
    assert cpu_quota(machine(tmp_path, groups, mounts, files)) == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None


def with_quota(root: Path, quota: str) -> Path:
    return machine(root, ["0::/"], [("/", "/sys/fs/cgroup", V2)], {"sys/fs/cgroup/cpu.max": quota})


@pytest.mark.parametrize(
    ("environment", "quota", "count", "limit"),
    [
        ({}, "50000 100000", 1, "CPU quota: 0.5"),
        ({}, "100000 100000", 1, None if usable_cores() == 1 else "CPU quota: 1"),
        ({}, "199999 100000", 1, None if usable_cores() == 1 else "CPU quota: 1.99999"),
        ({}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": ""}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": "-1"}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": "0"}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": "1.5"}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": "lots"}, MANY, usable_cores(), None),
        ({"OMP_NUM_THREADS": "9" * 5000}, MANY, usable_cores(), None),
        ({"ADAEDL_THREADS": " 7 "}, "50000 100000", 7, "ADAEDL_THREADS"),
        ({"ADAEDL_THREADS": "7", "OMP_NUM_THREADS": "1"}, MANY, 7, "ADAEDL_THREADS"),
        ({"ADAEDL_THREADS": "256"}, MANY, 256, "ADAEDL_THREADS"),
        ({"ADAEDL_THREADS": " "}, MANY, usable_cores(), None),
    ],
)
def test_the_smallest_limit_counts_unless_adaedl_threads_is_set(tmp_path, environment, quota, count, limit):
    result = usable_threads(environment, with_quota(tmp_path, quota))
    assert result.count == count
    if limit is None:
        assert result.limit in (threads.ALL_CORES, threads.AFFINITY)
    else:
        assert result.limit == limit


@pytest.mark.parametrize("listed", ["1", "1,2", " 01 , 8"])
def test_the_first_of_openmps_numbers_counts(tmp_path, monkeypatch, listed):
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    result = usable_threads({"OMP_NUM_THREADS": listed}, with_quota(tmp_path, MANY))
    assert result == (1, "OMP_NUM_THREADS")


@pytest.mark.parametrize("value", ["0", "257", "-1", "1.5", "two", "9" * 5000])
def test_an_invalid_setting_is_refused_by_name(value):
    with pytest.raises(UserError, match=r"ADAEDL_THREADS is '.*; it must be a whole number from 1 to 256"):
        usable_threads({"ADAEDL_THREADS": value})


def program(code: str, environment: dict[str, str], before: str = "") -> dict:
    """Run a program that prepares its threads, then runs some code and prints `result` as JSON; return the
    JSON. Of the thread variables only those in `environment` are set."""
    code = (
        "import json, os, sys\n"
        f"{before}\n"
        "from adaedl.system.threads import VARIABLES, apply_threads, prepare_threads\n"
        "from adaedl.system.threads import threads_in_use, usable_threads\n"
        "prepared = prepare_threads()\n"
        "result = {name: os.environ.get(name) for name in VARIABLES}\n"
        f"{code}\n"
        "print(json.dumps(result))"
    )
    names = (*VARIABLES, threads.PREPARED, threads.SETTING)
    others = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=PROJECT, env=others | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_library_and_torch_use_the_setting():
    code = "import torch; apply_threads(); result['torch'] = torch.get_num_threads()"
    code += "; import pyarrow; result['arrow'] = pyarrow.cpu_count()"
    code += "; import numba; result['numba'] = numba.config.NUMBA_NUM_THREADS"
    result = program(code, {"ADAEDL_THREADS": "3"})
    assert result == dict.fromkeys(VARIABLES, "3") | {"torch": 3, "arrow": 3, "numba": 3}


def test_limits_that_libraries_see_themselves_are_not_set():
    quota = cpu_quota()
    if quota is not None and quota < usable_cores():
        assert program("", {}) == dict.fromkeys(VARIABLES, str(max(int(quota), 1)))
    else:
        assert program("", {}) == dict.fromkeys(VARIABLES)


def test_variables_set_by_the_user_stay():
    code = "import torch; apply_threads(); result['torch'] = torch.get_num_threads()"
    environment = {"ADAEDL_THREADS": "3", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"}
    result = program(code, environment)
    assert (result["OMP_NUM_THREADS"], result["MKL_NUM_THREADS"], result["RAYON_NUM_THREADS"]) == (
        "2",
        "1",
        "3",
    )
    assert result["torch"] == 3, "the app's own setting outranks the variables of other libraries"


def test_torch_uses_no_more_threads_than_cores():
    code = "import torch; apply_threads(); result = torch.get_num_threads()"
    assert program(code, {"OMP_NUM_THREADS": f"{usable_cores() + 6}"}) == usable_threads({}).count


def test_numba_keeps_its_threads_if_it_is_imported_already():
    before = (
        "import numba\n@numba.njit(parallel=True)\ndef count():\n    n = 0\n    for i in numba.prange(9):\n"
    )
    before += "        n += 1\n    return n\ncount()"
    after = "result['counted'] = numba.njit(lambda: 5)()"
    result = program(after, {"ADAEDL_THREADS": "3"}, before)
    assert result["NUMBA_NUM_THREADS"] is None
    assert result["OMP_NUM_THREADS"] == "3"
    assert result["counted"] == 5


def test_our_variables_are_not_mistaken_for_the_users():
    code = (
        "del os.environ['ADAEDL_THREADS']\n"
        "result['here'] = usable_threads().limit\n"
        "import subprocess\n"
        "ask = 'from adaedl.system.threads import usable_threads; print(usable_threads().limit)'\n"
        "command = [sys.executable, '-c', ask]\n"
        "result['child'] = subprocess.run(command, capture_output=True, text=True).stdout\n"
        "from adaedl.pairs.chat import small_environment\n"
        "apart = small_environment()\n"
        "result['apart'] = subprocess.run(command, env=apart, capture_output=True, text=True).stdout\n"
        "os.environ['OMP_NUM_THREADS'] = '1,1'\n"
        "result['theirs'] = usable_threads().limit\n"
    )
    result = program(code, {"ADAEDL_THREADS": "1"})
    expected = usable_threads({}).limit
    assert (result["here"], result["child"].strip(), result["apart"].strip()) == (expected,) * 3

    assert result["theirs"] == ("OMP_NUM_THREADS" if usable_cores() > 1 else expected)


def test_a_child_with_another_limit_uses_its_own():
    code = (
        "os.environ['ADAEDL_THREADS'] = '2'\n"
        "prepare_threads()\n"
        "result = {name: os.environ[name] for name in VARIABLES}\n"
    )
    assert program(code, {"ADAEDL_THREADS": "3"}) == dict.fromkeys(VARIABLES, "2")


def test_the_template_process_knows_which_variables_are_ours(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv(threads.PREPARED, "OMP_NUM_THREADS=3")
    assert threads._set_by_us(small_environment()) == {"OMP_NUM_THREADS"}


def test_torchs_own_number_of_threads_is_reported_and_stays():
    code = (
        "import torch; apply_threads()\n"
        "result = [threads_in_use(), torch.get_num_threads()]\n"
        "torch.set_num_threads(5); apply_threads()\n"
        "result += [threads_in_use(), torch.get_num_threads()]\n"
    )
    ours = [3, "ADAEDL_THREADS"]
    assert program(code, {"ADAEDL_THREADS": "3"}) == [ours, 3, [5, "torch's own setting"], 5]


def test_a_program_that_uses_the_library_keeps_torchs_threads():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import torch; torch.set_num_threads(5)\n"
        "from adaedl.system.threads import apply_threads\n"
        "apply_threads(); print(torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"ADAEDL_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "5"


@pytest.mark.parametrize(("quota", "count"), [(100_000, 1), (150_000, 1), (200_000, min(2, usable_cores()))])
def test_a_process_in_a_real_control_group_finds_its_quota(tmp_path, quota, count):
    ask = "import adaedl.system.threads as t; print(t.usable_threads().count, t.usable_threads().limit)"
    with group_with_quota(quota / 100_000) as processes:
        if processes is None:  # no permission or no control groups: use a fake file system
            result = usable_threads({}, with_quota(tmp_path, f"{quota} 100000"))
            output = f"{result.count} {result.limit}"
        else:
            join = f"open({str(processes)!r}, 'w').write('0'); "
            others = {name: value for name, value in os.environ.items() if name not in VARIABLES}
            command = [sys.executable, "-c", join + ask]
            done = subprocess.run(
                command, cwd=PROJECT, env=others, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            output = done.stdout.strip()
    limited = quota < 100_000 * usable_cores()
    limit = f"CPU quota: {quota / 100_000:g}" if limited else usable_threads({}).limit
    assert output == f"{count} {limit}"


@pytest.mark.parametrize("command", [["-m", "adaedl", "pairs"], ["app.py"]])
def test_a_program_refuses_an_invalid_setting_in_one_line(command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env=os.environ | {"ADAEDL_THREADS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert done.stderr == "error: ADAEDL_THREADS is 'many'; it must be a whole number from 1 to 256.\n"


@pytest.mark.slow
def test_a_race_on_the_command_line_uses_the_threads_of_the_setting(tmp_path):
    path = tmp_path / "trace.json"
    model = save_model(tmp_path / "model", make_tokenizer("byte_level"))
    command = ["-m", "adaedl", "race", "Hello", "--lanes", "autoregressive", "--max-new-tokens", "2"]
    subprocess.run(
        [sys.executable, *command, "--pair", f"{model}:{model}", "--json", str(path)],
        cwd=PROJECT,
        env=os.environ | {"ADAEDL_THREADS": "2", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    assert json.loads(path.read_text())["threads"] == 2


def test_a_study_names_its_threads_if_they_differ_from_its_cores(monkeypatch):
    cores = usable_cores()
    for count, words in ((cores, ""), (cores + 1, f", {cores + 1} threads")):
        monkeypatch.setattr(threads._State, "prepared", threads.Threads(count, threads.ALL_CORES))
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        assert cores_words() == f"{cores} cores{words}"


def test_no_library_with_threads_is_imported_before_they_are_prepared():
    slow = ("torch", "numpy", "pandas", "pyarrow", "tokenizers", "numba")
    code = f"import sys, adaedl.__main__; print(*[name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
    first, _, _ = (PROJECT / "app.py").read_text("utf-8").partition("prepare_threads()")
    assert "components" not in first
