"""The start checks for every part of gradio that the page changes, and reports one that is missing."""

import re
from importlib.metadata import version
from pathlib import Path

import gradio as gr
import pytest
from gradio import processing_utils, queueing, route_utils, routes, state_holder

from adaedl.errors import UserError
from components.pages.page import build_page
from components.parts.controls import unchecked
from components.parts.gradio_internals import TESTED, require
from components.serving import cleanup
from components.serving.launch import launch
from components.serving.models_state import ModelsState
from components.serving.readers import watch_readers
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
    (lambda: watch_readers(gr.Blocks()), queueing, "AsyncQueue", "queueing"),
    (serve, gr.Blocks, "process_api", "Blocks"),
]


@pytest.mark.parametrize(("change", "owner", "name", "owner_name"), CHANGED)
def test_missing_part_of_gradio_is_named_with_the_tested_version(
    change, owner, name, owner_name, monkeypatch
):
    monkeypatch.delattr(owner, name)
    with pytest.raises(UserError) as refusal:
        change()
    assert str(refusal.value) == (
        f"gradio {gr.__version__} has no {owner_name}.{name}, which this page changes; install the version "
        f"it was tested with: pip install 'gradio~={TESTED}'"
    )


def test_other_storage_of_gradio_sessions_is_reported(monkeypatch):
    monkeypatch.setattr(state_holder.StateHolder, "__init__", lambda self: None)
    with pytest.raises(UserError, match=r"has no StateHolder\.lock"):
        cleanup.cleaning(None)


def test_other_queues_of_messages_are_reported():
    page = gr.Blocks()
    del page._queue.pending_messages_per_session
    with pytest.raises(UserError, match=r"has no Queue\.pending_messages_per_session"):
        watch_readers(page)


def test_other_preprocessing_of_a_field_is_reported():
    with pytest.raises(UserError, match=r"has no object\.preprocess"):
        unchecked(object())


def test_complete_object_passes():
    require(gr.Blocks, "process_api", "launch")


def test_tested_gradio_version_is_required_and_installed():
    required = re.search(r"^gradio(.*)$", (PROJECT / "requirements.txt").read_text("utf-8"), re.M)[1]
    assert required == f"~={TESTED}"
    assert version("gradio").startswith(TESTED.rpartition(".")[0] + ".")
