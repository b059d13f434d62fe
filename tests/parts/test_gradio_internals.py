"""What the page changes in gradio beyond its settings is looked for at the start, and its absence told."""

import re
from importlib.metadata import version
from pathlib import Path

import gradio as gr
import pytest
from gradio import processing_utils, route_utils, routes, state_holder

from adaedl.errors import UserError
from components.pages.page import build_page
from components.parts.controls import unchecked
from components.parts.gradio_internals import TESTED, require
from components.serving import cleanup
from components.serving.launch import launch
from components.serving.models_state import ModelsState
from components.serving.security import fetch_nothing

PROJECT = Path(__file__).parents[2]


def serve() -> None:
    launch(build_page(ModelsState("smollm2-135m")), ModelsState("smollm2-135m"))


CHANGED = [
    (fetch_nothing, processing_utils, "async_ssrf_protected_download", "processing_utils"),
    (fetch_nothing, routes, "secure_url_stream_response", "routes"),
    (cleanup.keep_no_values, state_holder.SessionState, "_update_value_in_config", "SessionState"),
    (cleanup.limit_uploads, route_utils, "GradioMultiPartParser", "route_utils"),
    (cleanup.limit_uploads, routes, "GradioMultiPartParser", "routes"),
    (
        cleanup.limit_uploads,
        route_utils.GradioMultiPartParser,
        "on_headers_finished",
        "GradioMultiPartParser",
    ),
    (serve, gr.Blocks, "process_api", "Blocks"),
]


@pytest.mark.parametrize(("change", "owner", "name", "owner_name"), CHANGED)
def test_what_gradio_lacks_is_told_with_its_version_and_one_that_has_it(
    change, owner, name, owner_name, monkeypatch
):
    monkeypatch.delattr(owner, name)
    with pytest.raises(UserError) as refusal:
        change()
    assert str(refusal.value) == (
        f"gradio {gr.__version__} has no {owner_name}.{name}, which this page changes; install the version "
        f"it was tested with: pip install 'gradio~={TESTED}'"
    )


def test_sessions_that_gradio_keeps_otherwise_are_told(monkeypatch):
    monkeypatch.setattr(state_holder.StateHolder, "__init__", lambda self: None)
    with pytest.raises(UserError, match=r"has no StateHolder\.lock"):
        cleanup.cleaning(None)


def test_a_field_whose_values_gradio_prepares_otherwise_is_told():
    with pytest.raises(UserError, match=r"has no object\.preprocess"):
        unchecked(object())


def test_an_object_that_has_everything_is_left_alone():
    require(gr.Blocks, "process_api", "launch")


def test_the_version_that_was_tested_is_the_one_that_is_asked_for_and_installed():
    asked = re.search(r"^gradio(.*)$", (PROJECT / "requirements.txt").read_text("utf-8"), re.M)[1]
    assert asked == f"~={TESTED}"
    assert version("gradio").startswith(TESTED.rpartition(".")[0] + ".")
