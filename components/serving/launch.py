"""How the page is served: its theme, files, languages and limits."""

import os
from importlib.util import find_spec

import gradio as gr
from starlette.middleware import Middleware

from adaedl.errors import UserError
from components.parts import assets
from components.parts.gradio_internals import require
from components.parts.palette import css_variables, theme
from components.parts.texts import translations
from components.serving import cleanup
from components.serving.answers import FAILURES
from components.serving.health import health_route
from components.serving.language import ChineseBrowsers
from components.serving.models_state import ModelsState
from components.serving.security import BodyLimit, ClosedRoutes, SecurityHeaders, fetch_nothing


def launch(page: gr.Blocks, models: ModelsState, **options) -> tuple:
    """Serve the page and return at once, with what gradio's `launch` returns. ADAEDL_MCP=1 also offers the
    named endpoints as tools of an MCP server.

    Raises:
        UserError: ADAEDL_MCP is neither 0 nor 1, MCP is asked for and its package is not there, or this
            version of gradio lacks what the page changes in it.
    """
    asked = os.environ.get("ADAEDL_MCP", "").strip()
    if asked not in ("", "0", "1"):
        raise UserError("ADAEDL_MCP is {!r}; it must be 1 or 0.", asked)
    mcp = asked == "1"
    if mcp and find_spec("mcp") is None:
        raise UserError("ADAEDL_MCP=1 needs the package mcp; install it with: pip install 'gradio[mcp]'")
    fetch_nothing()
    cleanup.limit_uploads()
    cleanup.keep_no_values()
    require(gr.Blocks, "process_api")  # which Page overrides
    return page.queue(max_size=100).launch(
        max_threads=128,  # each visitor waiting for the device holds one, asleep
        theme=theme(),
        css=css_variables(),
        css_paths=sorted(assets.ASSETS.glob("*.css")),
        app_kwargs={
            "lifespan": cleanup.cleaning(models.jobs),
            "exception_handlers": FAILURES,
            "routes": [*assets.routes(), health_route(models)],
            "middleware": [
                Middleware(SecurityHeaders, on_spaces="SPACE_ID" in os.environ),
                Middleware(ClosedRoutes),
                Middleware(BodyLimit),
                Middleware(ChineseBrowsers),
            ],
        },
        i18n=translations(),
        footer_links=["gradio", "settings"],
        max_file_size="64mb",  # a trace that is too large for the page may come, to be told so
        state_session_capacity=cleanup.MOST_SESSIONS,
        root_path=os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/"),  # with a slash there, no route is found
        mcp_server=mcp,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        prevent_thread_lock=True,
        **options,
    )
