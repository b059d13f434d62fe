"""Serve the page with its theme, files, languages and limits."""

import os
from importlib.util import find_spec

import gradio as gr
from starlette.middleware import Middleware

from adaedl.errors import UserError
from components.parts import assets
from components.parts.embed import EMBED_HEAD
from components.parts.gradio_internals import require
from components.parts.palette import css_variables, theme
from components.parts.texts import translations
from components.serving import cleanup
from components.serving.answers import FAILURES
from components.serving.health import health_route
from components.serving.models_state import ModelsState
from components.serving.page_head import PageHead
from components.serving.page_styles import PageStyles
from components.serving.readers import watch_readers
from components.serving.security import BodyLimit, ClosedRoutes, SecurityHeaders, fetch_nothing
from components.settings.hosting import host


def launch(page: gr.Blocks, models: ModelsState, **options) -> tuple:
    """Serve the page; return at once what gradio's `launch` returns. With ADAEDL_MCP=1, an MCP server also
    offers the named endpoints as tools.

    Raises:
        UserError: ADAEDL_MCP is neither 0 nor 1, MCP is requested but its package is not installed, or this
            version of gradio lacks something that the page changes.
    """
    value = os.environ.get("ADAEDL_MCP", "").strip()
    if value not in ("", "0", "1"):
        raise UserError("ADAEDL_MCP is {!r}; it must be 1 or 0.", value)
    mcp = value == "1"
    if mcp and find_spec("mcp") is None:
        raise UserError("ADAEDL_MCP=1 needs the package mcp; install it with: pip install 'gradio[mcp]'")
    fetch_nothing()
    cleanup.limit_uploads()
    cleanup.keep_no_values()
    watch_readers(page)
    require(gr.Blocks, "process_api")  # which Page overrides
    root_path = os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/")  # no route matches with a slash at the end
    styles = PageStyles(page)
    return page.queue(max_size=100).launch(
        max_threads=128,  # each visitor who waits for the device holds a sleeping thread
        theme=theme(),
        favicon_path=assets.FAVICON,
        head=EMBED_HEAD,
        css=css_variables(),
        css_paths=sorted(assets.ASSETS.glob("*.css")),
        app_kwargs={
            "lifespan": cleanup.cleaning(models.jobs),
            "exception_handlers": FAILURES,
            "routes": [*assets.routes(), styles.route(), health_route(models)],
            "middleware": [
                Middleware(SecurityHeaders, on_spaces="SPACE_ID" in os.environ, framed_by=host().framed_by),
                Middleware(ClosedRoutes),
                Middleware(BodyLimit),
                Middleware(PageHead, root_path=root_path, styles=styles),
            ],
        },
        i18n=translations(),
        footer_links=["gradio", "settings"],
        max_file_size="64mb",  # larger than the page's own limits, which answer with a sentence
        state_session_capacity=cleanup.MOST_SESSIONS,
        root_path=root_path,
        mcp_server=mcp,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        prevent_thread_lock=True,
        **options,
    )
