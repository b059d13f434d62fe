"""A gr.HTML that is drawn by a module of assets/js. Its value is data, never HTML."""

import gradio as gr

from components.parts.assets import load_module


def browser_part(name: str, value=None, *, frame: str = "<div></div>", module: str | None = None, **options):
    """Return a gr.HTML with the elem_id `name`, drawn inside `frame` by assets/js/<module or name>.js."""
    return gr.HTML(
        value,
        html_template=frame,
        js_on_load=load_module(f"{module or name}.js"),
        apply_default_css=False,
        elem_id=name,
        **options,
    )
