"""The engine runs without the page."""

import subprocess
import sys
from pathlib import Path

import adaedl

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
