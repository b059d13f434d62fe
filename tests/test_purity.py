"""The engine runs without the page's packages, and the page is built before the engine's slow imports."""

import re
import subprocess
import sys
from pathlib import Path

import adaedl

# Not scipy.special, which intervals need: importing it takes a tenth of a second.
SLOW = ("torch", "transformers", "scipy.stats")
PAGE_ONLY = ("gradio", "plotly", "components")


def test_the_engine_imports_no_package_of_the_page():
    folder = Path(adaedl.__file__).parent
    names = set()
    for path in folder.rglob("*.py"):
        code = path.read_text("utf-8")
        if re.search("^import triton$", code, re.M):  # kernels that only a machine with Triton can import
            imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.M))
            assert imported <= {"torch", "triton", "typing", "adaedl"}
            continue
        names.add(".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"))
    assert {"adaedl", "adaedl.decoding", "adaedl.__main__", "adaedl.pairs.loading"} <= names
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(names)!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {PAGE_ONLY!r} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""


def test_the_page_is_built_and_checks_requests_without_importing_torch():
    program = (
        "import sys\n"
        "from components.parts.controls import DEFAULTS\n"
        "from components.serving.models_state import ModelsState\n"
        "from components.pages.page import build_page\n"
        "build_page(ModelsState(DEFAULTS.pair))\n"
        "DEFAULTS.check()\n"
        f"print(*[name for name in {SLOW!r} if name in sys.modules])"
    )
    folder = Path(adaedl.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
