"""What the browser does by itself when something that it waited for is over."""

import json

import gradio as gr

from components.assets import module_address


def when_over(
    run: gr.events.Dependency,
    status: gr.HTML,
    free: list[gr.components.Component],
    idle: list[gr.components.Component],
) -> gr.events.Dependency:
    """However a run ended, a server that went away included: the buttons that are `free` can be pressed
    again, those that are `idle` cannot, and a status line whose last words were of something under way says
    that the connection was lost. Returns the event, for what comes after it."""
    buttons = [{"__type__": "update", "interactive": True}] * len(free)
    buttons += [{"__type__": "update", "interactive": False}] * len(idle)
    address = module_address("status.js")
    return run.then(
        None,
        status,
        [status, *free, *idle],
        js=f"async (said) => [(await import({address})).atTheEnd(said), ...{json.dumps(buttons)}]",
        show_progress="hidden",
        api_visibility="private",
    )
