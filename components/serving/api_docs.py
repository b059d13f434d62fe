"""Descriptions of the endpoints for view_api, the clients and MCP, taken from the endpoints' docstrings."""

import inspect
import re
from collections.abc import Callable

import gradio as gr
from gradio.context import get_blocks_context

from components.parts.gradio_internals import replace


def add_endpoint(fn: Callable, name: str) -> None:
    """Add a named endpoint to the page under construction; its docstring describes every parameter and the
    returned value to callers."""
    parameters, returned = descriptions_of(fn)
    gr.api(fn, api_name=name, concurrency_limit=None)
    event = list(get_blocks_context().fns.values())[-1]
    for part, (name, words) in zip(event.inputs, parameters.items(), strict=True):
        replace(part, label=name, _api_info=part._api_info | {"additional_description": words})
    for part in event.outputs:
        replace(part, label="update", _api_info=part._api_info | {"description": returned})


def descriptions_of(fn: Callable) -> tuple[dict[str, str], str]:
    """Return from a docstring the description of each parameter that callers send (Args), and the description
    of the returned value (Returns)."""
    parts = re.split(r"^(Args|Returns):\n", inspect.getdoc(fn) or "", flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", sections.get("Args", ""), re.MULTILINE)
    described = {name: _one_line(words) for name, words in entries}
    parameters = inspect.signature(fn).parameters.values()
    sent = [each.name for each in parameters if each.annotation is not gr.Request]
    return {name: described[name] for name in sent}, _one_line(sections.get("Returns", ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())
