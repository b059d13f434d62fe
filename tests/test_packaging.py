"""The wheel and the source distribution contain what they need and nothing else."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from shutil import copyfile

import pytest

from adaedl.stopping import STOPPERS
from adaedl.version import __version__

PROJECT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
# Files of the page that only its developers need.
FOR_DEVELOPERS = r"assets/(screenshots/(?!race-light-1440\.png).*|js/types/.*|.*\.sh)"
BUILD = "from setuptools import build_meta as b; print(b.build_sdist('out')); print(b.build_wheel('out'))"


def checked_out() -> list[str]:
    """Return every file of the checkout that Git tracks or would add."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    ran = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in ran.stdout.splitlines() if (PROJECT / name).is_file()]


def installed_as(name: str) -> str | None:
    """Return the path in the wheel of a file of the checkout; None if it is not installed.

    The engine is installed with all of its files except the text that the drafter was trained on, and the
    page with the files that a browser or the page's server reads.
    """
    if name.startswith("adaedl/"):
        return None if name.startswith("adaedl/distill/") and name.endswith(".safetensors") else name
    if name == "app.py" or name.startswith(("components/", "assets/")):
        return None if re.fullmatch(FOR_DEVELOPERS, name) else f"adaedl/page/{name}"
    return None


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with both distributions, built offline from a copy of the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in checked_out():
        if not name.startswith("docs/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(PROJECT / name, copy / name)
    ran = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return copy / "out"


def test_the_wheel_contains_exactly_the_engine_and_the_page(built):
    wheel = zipfile.ZipFile(built / f"adaedl-{__version__}-py3-none-any.whl")
    metadata = f"adaedl-{__version__}.dist-info"
    files = {name for name in wheel.namelist() if not name.startswith(metadata)}
    assert files == {place for name in checked_out() if (place := installed_as(name))}
    assert wheel.read(f"{metadata}/licenses/LICENSE") == (PROJECT / "LICENSE").read_bytes()
    scripts = wheel.read(f"{metadata}/entry_points.txt").decode()
    assert re.findall(r"^(\S+) = ", scripts, re.MULTILINE) == ["adaedl", "adaedl-page"]


def test_the_source_distribution_contains_exactly_what_the_wheel_needs(built):
    with tarfile.open(built / f"adaedl-{__version__}.tar.gz") as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    expected = {name for name in checked_out() if installed_as(name)}
    expected |= {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "requirements.txt", "setup.py"}
    generated = {
        name for name in files if name in ("PKG-INFO", "setup.cfg") or name.startswith("adaedl.egg-info/")
    }
    assert files - generated == expected


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    """A folder with the wheel's files, as pip would install them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built / f"adaedl-{__version__}-py3-none-any.whl") as wheel:
        wheel.extractall(folder)
    return folder


def test_an_installed_engine_finds_its_files_without_the_checkout(unpacked):
    program = f"""
import json, sys
sys.path.insert(0, {str(unpacked)!r})
import adaedl
from adaedl.cli.page import shipped
from adaedl.pairs.presets import SHIPPED_DRAFTER
from adaedl.stopping import STOPPERS
file = shipped("assets/examples/recordings/smollm2-135m-t0.json")
recording = adaedl.Recording.from_json(json.dumps(json.loads(file.read_text("utf-8"))["recording"]))
lane = adaedl.replay(recording, "adaedl:threshold=0.4")
print(json.dumps([adaedl.__file__, list(STOPPERS), lane.text == recording.text, lane.metrics.speedup > 1,
    [str(shipped(name)) for name in (SHIPPED_DRAFTER, "app.py")],
    [name for name in ("torch", "gradio", "components") if name in sys.modules]]))
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=unpacked, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    file, stoppers, same_text, faster, shipped, loaded = json.loads(ran.stdout)
    assert file == str(unpacked / "adaedl" / "__init__.py")
    assert stoppers == list(STOPPERS)
    assert (same_text, faster, loaded) == (True, True, [])
    assert shipped == [
        str(unpacked / "adaedl" / "page" / name) for name in ("assets/drafter.safetensors", "app.py")
    ]
    assert all(Path(name).stat().st_size for name in shipped)


def test_an_installed_page_can_be_built(unpacked):
    program = f"""
import sys
sys.path[:0] = [{str(unpacked / "adaedl" / "page")!r}, {str(unpacked)!r}]
import components.pages.page
from components.serving.models_state import ModelsState
page = components.pages.page.build_page(ModelsState("smollm2-135m"))
print(components.__file__, len(page.blocks) > 50)
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=unpacked, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    file = unpacked / "adaedl" / "page" / "components" / "__init__.py"
    assert ran.stdout.split() == [str(file), "True"]


def test_pip_and_requirements_txt_install_the_same_packages():
    listed = (PROJECT / "requirements.txt").read_text("utf-8").split()
    project = PYPROJECT["project"]
    packages = [*project["dependencies"], *project["optional-dependencies"]["page"]]
    assert [line for line in listed if not line.startswith("torch==")] == [
        line for line in packages if not line.startswith("torch")
    ]
    assert [line for line in packages if line.startswith("torch")] == ["torch>=2.11"]
    assert not any(re.match("gradio|plotly", line) for line in project["dependencies"])


def test_starting_the_page_without_its_packages_says_what_to_install(monkeypatch, capsys):
    from adaedl.cli import page

    monkeypatch.setattr(page, "NEEDS", ("gradio", "no_such_package"))
    assert page.start() == 2
    expected = 'error: The page needs no_such_package; install it with: pip install "adaedl[page]"\n'
    assert capsys.readouterr().err == expected
