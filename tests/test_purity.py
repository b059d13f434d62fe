"""The engine runs without the page, and the page is there before what the engine runs on."""

import subprocess
import sys
from pathlib import Path

import adaedl

SLOW = ("torch", "transformers", "scipy")
PAGE_ONLY = ("gradio", "plotly", "components")


def test_no_module_of_the_engine_imports_what_only_the_page_needs():
    folder = Path(adaedl.__file__).parent
    files = [path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py")]
    names = sorted(".".join(path.parts).removesuffix(".__init__") for path in files)
    assert {"adaedl", "adaedl.decoding", "adaedl.__main__", "adaedl.models.loading"} <= set(names)
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {PAGE_ONLY!r} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""


def test_the_page_is_built_and_refuses_what_it_must_before_torch_is_imported():
    program = (
        "import sys\n"
        "from components.controls import DEFAULTS\n"
        "from components.models_state import ModelsState\n"
        "from components.page import build_page\n"
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
