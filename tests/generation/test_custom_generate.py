"""The folder custom_generate/: one file that needs only transformers and torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adaedl.generation import build
from adaedl.stopping import STOPPERS

PROJECT = Path(__file__).resolve().parents[2]


def test_the_file_is_current():
    assert build.OUTPUT.read_text("utf-8") == build.build(), "run python -m adaedl.generation.build"


def test_two_modules_cannot_define_one_name():
    with pytest.raises(build.NameTaken, match=r"^Sampling: adaedl.generation.standalone and adaedl.request$"):
        build.check_names(["adaedl.generation.standalone", "adaedl.request"])


def test_it_runs_with_transformers_and_torch_alone(tmp_path):
    environment = {"HF_HOME": str(tmp_path), "PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1"}
    script = Path(__file__).with_name("bare_run.py")
    ran = subprocess.run(
        [sys.executable, "-I", script, PROJECT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert set(map(str, report["texts"].values())) == {str(report["plain"])}
    assert sum(report["rounds"]) == 20
    assert report["refusal"].startswith("num_beams is 2, but speculative decoding writes one text")
    assert report["stoppers"] == list(STOPPERS)
    assert (report["numba"], report["strangers"]) == (False, [])
