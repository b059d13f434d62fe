"""Linux control groups (cgroups), which divide processor time: this process's quota, and a group with a quota
for measurements.

Sources: docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and docs.kernel.org/scheduler/sched-bwc.html
(cpu.cfs_quota_us of version 1).
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

PERIOD_US = 100_000
PATIENCE_S = 5  # for the kernel to let go of processes that have ended


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores' worth of time this process may use: the smallest quota of its control group and
    the groups above it. None where there is no limit or the system does not tell.

    Args:
        root: the folder to find /proc and the control groups in.
    """
    quotas = []
    for folder in _group_folders(root):
        for read in (_quota_of_version_2, _quota_of_version_1):
            with suppress(OSError, ValueError, ArithmeticError):
                quota, period = read(folder)
                if quota > 0 and period > 0:
                    quotas.append(quota / period)
    return min(quotas, default=None)


@contextmanager
def group_with_quota(cores: float) -> Iterator[Path | None]:
    """Make a control group whose processes together may use `cores` cores' worth of time, and remove it at
    the end, when they must have ended. Its parent is this process's own group or the nearest one above it
    that can have such children. Yields the file that a process joins the group by (it writes 0 to it); None
    where no group can be made."""
    for parent in _group_folders(Path("/")):
        if group := _make_group(parent, cores):
            try:
                yield group / "cgroup.procs"
            finally:
                _remove_group(group)
            return
    yield None


def _make_group(parent: Path, cores: float) -> Path | None:
    group = parent / f"adaedl-{os.getpid()}-{time.monotonic_ns()}"
    quota = f"{int(cores * PERIOD_US)}"
    try:
        group.mkdir()
    except OSError:
        return None
    for files in (
        {"cpu.max": f"{quota} {PERIOD_US}"},
        {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": quota},
    ):
        with suppress(OSError):
            for name, value in files.items():
                with (group / name).open("r+") as file:  # which the kernel has made, where it shares out time
                    file.write(value)
            return group
    with suppress(OSError):
        group.rmdir()
    return None


def _remove_group(group: Path) -> None:
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError:  # a process is still on its way out
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _quota_of_version_2(folder: Path) -> tuple[int, int]:
    """Return the quota and the period, in microseconds; raises ValueError where the quota is "max"."""
    quota, *period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period[0]) if period else 100_000


def _quota_of_version_1(folder: Path) -> tuple[int, int]:
    quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return quota, period


def _group_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups for processor time, each followed by the groups
    above it that are visible from here."""
    groups = _cpu_groups(_lines(root / "proc/self/cgroup"))
    mounts: dict[bool, list[tuple[PurePosixPath, Path]]] = {True: [], False: []}
    for version_2, top, mounted_at in _cpu_mounts(_lines(root / "proc/self/mountinfo")):
        mounts[version_2].append((top, root / mounted_at.lstrip("/")))
    for version_2, places in mounts.items():
        for group in groups[version_2]:
            inside = ".." not in group.parts  # seen from a namespace that it has left
            below = [(top, place) for top, place in places if inside and group.is_relative_to(top)]
            for top, place in below:
                own = place / group.relative_to(top)
                yield from (own, *(above for above in own.parents if above.is_relative_to(place)))
            if not below and places:  # a container that sees its own group as the top one
                yield places[0][1]


def _cpu_groups(lines: list[str]) -> dict[bool, list[PurePosixPath]]:
    """Return the groups in /proc/self/cgroup that control processor time, by whether they have version 2."""
    groups: dict[bool, list[PurePosixPath]] = {True: [], False: []}
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if path and (not controllers or "cpu" in controllers.split(",")):
            groups[not controllers].append(PurePosixPath(path))
    return groups


def _cpu_mounts(lines: list[str]) -> Iterator[tuple[bool, PurePosixPath, str]]:
    """Yield, for every mount of such groups in /proc/self/mountinfo: whether it is of version 2, the group at
    its root, and where it is mounted."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3:
            continue
        if kinds[0] == "cgroup2" or (kinds[0] == "cgroup" and "cpu" in kinds[2].split(",")):
            top, place = (_unescaped(field) for field in fields[3:5])
            yield kinds[0] == "cgroup2", PurePosixPath(top), place


def _unescaped(path: str) -> str:
    r"""Return a path of /proc/self/mountinfo with its octal escapes decoded: a space is written \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return []
