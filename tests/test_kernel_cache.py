"""What Numba keeps of the CPU's kernels is used as long as everything compiled into it stays the same."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from adaedl.models.cpu.kernels import entry_points

PROJECT = Path(__file__).resolve().parents[1]
SHOW_NOISE = "from adaedl.models.cpu import kernels; print(kernels.noise_rows(5, 0, 1, 4)[0].tolist())"


def imported_by(file: Path) -> set[Path]:
    """The engine's modules that a module imports when it is imported."""
    names = []
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = {PROJECT / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if file.is_file()}


def test_every_module_that_is_compiled_into_the_kernels_is_a_part_of_the_cache_key():
    found, new = set(), {Path(entry_points.__file__)}
    while new:
        found |= new
        new = set().union(*map(imported_by, new)) - found
    assert len(found) > 10
    assert found <= set(entry_points.source_files())


def test_a_kernel_that_has_changed_is_compiled_anew_though_no_caller_has(tmp_path):
    package = shutil.copytree(
        PROJECT / "adaedl", tmp_path / "adaedl", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def show_noise() -> list[float]:
        command = [sys.executable, "-c", SHOW_NOISE]
        run = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return ast.literal_eval(run.stdout)

    before = show_noise()
    file = package / "models/cpu/kernels/gumbel_noise.py"
    code = file.read_text("utf-8")
    assert "return -log_of_split(x, exponent)" in code
    file.write_text(code.replace("return -log_of_split(x, exponent)", "return log_of_split(x, exponent)"))
    assert show_noise() == [-number for number in before]
