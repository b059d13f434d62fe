"""Changes that the browser makes without the server when an event is over."""

import json

import gradio as gr


def when_over(
    run: gr.events.Dependency, free: list[gr.components.Component], idle: list[gr.components.Component]
) -> gr.events.Dependency:
    """When a run has ended in any way, even without an answer from the server, enable the `free` buttons and
    disable the `idle` ones. Return the event, so that another can follow it."""
    buttons = [{"__type__": "update", "interactive": button in free} for button in [*free, *idle]]
    js = f"() => {json.dumps(buttons)}"
    return run.then(None, None, [*free, *idle], js=js, show_progress="hidden", api_visibility="private")
