"""How the CPU's kernels are compiled: anew whenever a source has changed, and always to the same bits."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

from adaedl.models.cpu import kernels
from adaedl.models.cpu.kernels import entry_points

PROJECT = Path(__file__).resolve().parents[2]
COMPILED = [
    *(f"{kernels.__name__}.{file.stem}" for file in sorted(Path(kernels.__file__).parent.glob("[a-z]*.py"))),
    "adaedl.distill.batched",
    "adaedl.distill.train",
]
DRAW = """
import ctypes, torch
from adaedl.models.cpu.kernels import entry_points
from adaedl.models.cpu.kernels.gumbel_noise import NOISE_BYTES
from adaedl.models.cpu.kernels.records import NoiseCall
draw = entry_points.compile_draw()
out, scratch = torch.empty(4), torch.empty(NOISE_BYTES, dtype=torch.uint8)
call = NoiseCall(5, 0, 1, 0, 4, out.data_ptr(), scratch.data_ptr())
ctypes.CFUNCTYPE(None, ctypes.c_void_p)(draw.address)(ctypes.addressof(call))
print((draw.cache_hits, out.tolist()))
"""


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


@pytest.mark.slow
def test_a_kernel_that_has_changed_is_compiled_anew_though_no_caller_has(tmp_path):
    package = shutil.copytree(
        PROJECT / "adaedl", tmp_path / "adaedl", ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "models/cpu/kernels/__init__.py").write_text("")  # which would compile all of them
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def draw() -> tuple[int, list[float]]:
        command = [sys.executable, "-c", DRAW]
        printed = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        return ast.literal_eval(printed)

    expected = kernels.noise_rows(5, 0, 1, 4)[0].tolist()
    assert draw() == (0, expected)
    assert draw() == (1, expected)  # what was kept is used
    file = package / "models/cpu/kernels/gumbel_noise.py"
    code = file.read_text("utf-8")
    file.write_text(code.replace("return -log_of_split(x, exponent)", "return log_of_split(x, exponent)"))
    assert draw() == (0, [-number for number in expected])


@pytest.mark.parametrize("module", COMPILED)
def test_what_is_called_by_a_function_that_may_reorder_sums_may_do_so_too(module):
    """Numba gives such a caller's flags to what it is the first to call: bits would depend on who that is."""
    for function in vars(importlib.import_module(module)).values():
        if isinstance(function, Dispatcher) and function.targetoptions.get("fastmath"):
            called = (function.py_func.__globals__.get(name) for name in function.py_func.__code__.co_names)
            for other in called:
                if isinstance(other, Dispatcher):
                    flags = other.targetoptions.get("fastmath")
                    assert flags == function.targetoptions["fastmath"], f"{function} calls {other}"
