"""Linux control groups (cgroups), which limit processor time: this process's quota, and a group with a quota
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
PATIENCE_S = 5  # for the kernel to remove processes that have ended from a group


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores' worth of time this process may use: the smallest quota of its control group and
    the groups above it. None if there is no limit or it is unknown.

    Args:
        root: the folder that contains /proc and the control groups.
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
    """Create a control group whose processes together may use `cores` cores' worth of time, and remove it at
    the end, when its processes must have ended. Its parent is this process's own group, or the nearest group
    above that can have such a child. Yield the file to which a process writes 0 to join the group; None if no
    group can be created."""
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
                with (group / name).open("r+") as file:  # must exist, or the group does not control time
                    file.write(value)
            return group
    with suppress(OSError):
        group.rmdir()
    return None


def _remove_group(group: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError:  # a process has not left yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _quota_of_version_2(folder: Path) -> tuple[int, int]:
    """Return the quota and the period in microseconds; raise ValueError if the quota is "max"."""
    quota, *period = (folder / "cpu.max").read_text().split()
    return int(quota), int(period[0]) if period else 100_000  # the kernel's default


def _quota_of_version_1(folder: Path) -> tuple[int, int]:
    quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return quota, period


def _group_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups for processor time, each followed by the visible
    groups above it."""
    groups = _cpu_groups(_lines(root / "proc/self/cgroup"))
    mounts: dict[bool, list[tuple[PurePosixPath, Path]]] = {True: [], False: []}
    for version_2, top, mounted_at in _cpu_mounts(_lines(root / "proc/self/mountinfo")):
        mounts[version_2].append((top, root / mounted_at.lstrip("/")))
    for version_2, group_mounts in mounts.items():
        for group in groups[version_2]:
            in_namespace = ".." not in group.parts
            containing = [
                (top, folder) for top, folder in group_mounts if in_namespace and group.is_relative_to(top)
            ]
            for top, folder in containing:
                own = folder / group.relative_to(top)
                yield from (own, *(above for above in own.parents if above.is_relative_to(folder)))
            if not containing and group_mounts:  # a container that sees its own group as the top group
                yield group_mounts[0][1]


def _cpu_groups(lines: list[str]) -> dict[bool, list[PurePosixPath]]:
    """Return the groups in /proc/self/cgroup that control processor time, by whether they are version 2."""
    groups: dict[bool, list[PurePosixPath]] = {True: [], False: []}
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if path and (not controllers or "cpu" in controllers.split(",")):
            groups[not controllers].append(PurePosixPath(path))
    return groups


def _cpu_mounts(lines: list[str]) -> Iterator[tuple[bool, PurePosixPath, str]]:
    """Yield for every mount of such groups in /proc/self/mountinfo: whether it is version 2, the group at its
    root, and where it is mounted."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3:
            continue
        if kinds[0] == "cgroup2" or (kinds[0] == "cgroup" and "cpu" in kinds[2].split(",")):
            top, mounted_at = (_unescaped(field) for field in fields[3:5])
            yield kinds[0] == "cgroup2", PurePosixPath(top), mounted_at


def _unescaped(path: str) -> str:
    r"""Decode the octal escapes in a path from /proc/self/mountinfo, such as \040 for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return []
