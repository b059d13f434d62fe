"""What the browser does by itself when something that it waited for has ended."""

import json

import gradio as gr


def when_over(
    run: gr.events.Dependency, free: list[gr.components.Component], idle: list[gr.components.Component]
) -> gr.events.Dependency:
    """When a run ends, even without a word from the server, enable the `free` buttons and disable the `idle`
    ones. Returns the event, to chain what follows."""
    buttons = [{"__type__": "update", "interactive": button in free} for button in [*free, *idle]]
    js = f"() => {json.dumps(buttons)}"
    return run.then(None, None, [*free, *idle], js=js, show_progress="hidden", api_visibility="private")
