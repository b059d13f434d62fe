"""What the browser does by itself when something that it waited for is over."""

import json

import gradio as gr


def when_over(
    run: gr.events.Dependency, free: list[gr.components.Component], idle: list[gr.components.Component]
) -> gr.events.Dependency:
    """However a run ended, without a word from the server too: the buttons that are `free` can be pressed
    again, those that are `idle` cannot. Returns the event, for what comes after it."""
    buttons = [{"__type__": "update", "interactive": button in free} for button in [*free, *idle]]
    js = f"() => {json.dumps(buttons)}"
    return run.then(None, None, [*free, *idle], js=js, show_progress="hidden", api_visibility="private")
