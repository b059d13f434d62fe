"""The CPU kernels are compiled again whenever a source changes, and always to the same bits."""

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
    """Return the engine's modules that a module imports at its top level."""
    names = []
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = {PROJECT / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if file.is_file()}


def test_every_module_compiled_into_the_kernels_is_in_the_cache_key():
    reachable, new = set(), {Path(entry_points.__file__)}
    while new:
        reachable |= new
        new = set().union(*map(imported_by, new)) - reachable
    assert len(reachable) > 10
    assert reachable <= set(entry_points.source_files())


@pytest.mark.slow
def test_a_changed_kernel_is_compiled_again_even_if_no_caller_changed(tmp_path):
    package = shutil.copytree(
        PROJECT / "adaedl", tmp_path / "adaedl", ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "models/cpu/kernels/__init__.py").write_text("")  # it would compile all kernels
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def draw() -> tuple[int, list[float]]:
        command = [sys.executable, "-c", DRAW]
        printed = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        return ast.literal_eval(printed)

    expected = kernels.noise_rows(5, 0, 1, 4)[0].tolist()
    assert draw() == (0, expected)
    assert draw() == (1, expected)  # from the cache
    file = package / "models/cpu/kernels/gumbel_noise.py"
    code = file.read_text("utf-8")
    file.write_text(code.replace("return -log_of_split(x, exponent)", "return log_of_split(x, exponent)"))
    assert draw() == (0, [-number for number in expected])


@pytest.mark.parametrize("module", COMPILED)
def test_functions_that_reorder_sums_call_only_functions_that_do(module):
    """Otherwise bits would depend on the first caller, because Numba compiles a function with its flags."""
    for function in vars(importlib.import_module(module)).values():
        if isinstance(function, Dispatcher) and function.targetoptions.get("fastmath"):
            called = (function.py_func.__globals__.get(name) for name in function.py_func.__code__.co_names)
            for other in called:
                if isinstance(other, Dispatcher):
                    flags = other.targetoptions.get("fastmath")
                    assert flags == function.targetoptions["fastmath"], f"{function} calls {other}"
