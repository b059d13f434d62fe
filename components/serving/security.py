"""Protect the page from hostile visitors, beyond the checks of each input: headers on every response, closed
routes, a limit on the size of requests, and no requests by the server to addresses that a visitor names."""

import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import gradio as gr
from gradio import processing_utils, routes
from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import Scope

from adaedl.errors import Sentence, UserError
from adaedl.measure.sweep import MAX_TABLE_BYTES
from adaedl.system.cache_folder import cache_dir
from adaedl.system.shipped import PROJECT
from components.parts.gradio_internals import replace

# gradio's page, gr.HTML included, runs inline scripts and builds functions from text. The policy can still
# forbid the page to fetch from, send to or embed other origins.
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "media-src": "'self' data: blob:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}


# gradio's routes that this page does not use. They store files that nothing deletes, pass a stranger's video
# to ffmpeg, edit the app, or reveal how others use it.
CLOSED = (
    "/gradio_api/process_recording",
    "/gradio_api/vibe-",
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/deep_link",
    "/gradio_api/dev/",
    "/gradio_api/profiling",
    "/monitoring",
)


def route_path(scope: Scope) -> str:
    """Return the path that the router matches, below a proxy's root path, in canonical form: lower case,
    single slashes, no slash at the end."""
    # The server has already decoded the path, so %2f is a slash here, as for the router.
    path = get_route_path(scope).lower()
    return re.sub(r"[/\\]+", "/", f"/{path}").rstrip("/")


class ClosedRoutes:
    """ASGI middleware that answers 404 for routes that the page does not use."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        closed = scope["type"] == "http" and f"{route_path(scope)}/".startswith(CLOSED)
        answer = PlainTextResponse("Not found", 404) if closed else self.app
        await answer(scope, receive, send)


# The most bytes of a request's body. A file may have 64 MB; quoting makes a sweep's table, which is sent for
# conversion to Parquet, a little larger.
LARGEST = {"/gradio_api/upload": 70 * 2**20, "/gradio_api/component_server": MAX_TABLE_BYTES * 4 // 3}
LARGEST_ELSEWHERE = 2 * 2**20


class BodyLimit:
    """ASGI middleware that answers 413 to a request that is too large, as soon as its content-length or the
    bytes that have arrived show it."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = LARGEST.get(route_path(scope), LARGEST_ELSEWHERE)
        sentence = f"The request is too large; at most {most // 2**20} MB are read here."
        refusal = PlainTextResponse(sentence, 413, {"connection": "close"})
        if int(Headers(scope=scope).get("content-length", 0)) > most:
            await refusal(scope, receive, send)
            return
        received, answered = 0, False

        async def receive_at_most():
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message if received <= most else {"type": "http.disconnect"}

        async def send_unless_refused(message) -> None:
            nonlocal answered
            if received <= most or answered:
                answered = True
                await send(message)

        try:
            await self.app(scope, receive_at_most, send_unless_refused)
        except Exception:
            if received <= most:
                raise  # above the limit, the error only says that the visitor has disconnected
        if received > most and not answered:
            await refusal(scope, receive, send)


class SecurityHeaders:
    """ASGI middleware that sets the same headers on every response, streams included.

    Args:
        on_spaces: the page is shown in a frame within huggingface.co.
        framed_by: other origins whose pages may show this one in a frame.
    """

    def __init__(self, app, on_spaces: bool = False, framed_by: Iterable[str] = ()):
        self.app = app
        hub = ("https://huggingface.co", "https://*.hf.space") if on_spaces else ()
        policy = {**POLICY, "frame-ancestors": " ".join(("'self'", *hub, *framed_by))}
        self.headers = {
            "content-security-policy": "; ".join(f"{name} {allowed}" for name, allowed in policy.items()),
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",  # a shared link holds the visitor's prompt
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope, receive, send) -> None:
        async def send_with_headers(message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def fetch_nothing() -> None:
    """Keep gradio from fetching addresses for a visitor. For any input with {"path": "https://…"} it would
    request the file at that address, and /file=https://… would pass on the file there.

    Raises:
        UserError: this version of gradio fetches differently.
    """
    replace(processing_utils, async_ssrf_protected_download=_refuse_address)
    replace(routes, secure_url_stream_response=_not_here)


async def _refuse_address(url: str, *_, **__) -> str:
    raise gr.Error("A file at an address is not read here; upload it.", print_exception=False)


async def _not_here(*_) -> PlainTextResponse:
    return PlainTextResponse("Not found", 404)


def without_host_folders(error: UserError) -> UserError:
    """Return the same error with the name of its variable in place of each of the host's folders."""
    return UserError(error.sentence.template, *map(_without_folders, error.sentence.values))


def _without_folders(value):
    if isinstance(value, UserError):
        value = value.sentence
    if isinstance(value, Sentence):
        return Sentence(value.template, *map(_without_folders, value.values))
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    for folder, name in _folders():
        text = text.replace(folder, name) if len(folder) > 1 else text
    return text


def _folders() -> list[tuple[str, str]]:
    """Return the host's folders that errors may name, nested ones first."""
    from huggingface_hub import constants

    folders = {
        str(cache_dir()): "$ADAEDL_CACHE",
        str(constants.HF_HUB_CACHE): "$HF_HOME/hub",
        str(constants.HF_HOME): "$HF_HOME",
        str(PROJECT): "$APP",
        tempfile.gettempdir(): "$TMPDIR",
    }
    with suppress(RuntimeError):  # there is no home folder
        folders[str(Path.home())] = "~"
    return sorted(folders.items(), key=lambda entry: -len(entry[0]))
