"""A disk that a test can fill."""

import os
import resource
import shutil
import subprocess
from pathlib import Path


class SmallDisk:
    """A disk of 8 MB in a folder: a real one if this user may mount it; otherwise a limit on file sizes."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        self.is_real = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.ballast = folder / "ballast"
        self.is_full = False

    def fill(self) -> None:
        """Leave at most 12 kB free."""
        if self.is_real:
            with self.ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.folder).free - 12_288)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (12_288, self.limits[1]))
        self.is_full = True

    def make_room(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        self.ballast.unlink(missing_ok=True)
        self.is_full = False
