"""Rewrite the head of gradio's page, and compress the page.

The metadata that gradio writes for link previews describes gradio, and gradio sends the page, which holds all
of its settings, uncompressed.
"""

import gzip
import re
from functools import lru_cache, partial
from html import escape
from urllib.parse import quote

import brotli
from gradio.route_utils import get_root_url
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.parts import assets
from components.parts.palette import PAGE, PAGE_DARK
from components.parts.texts import texts
from components.serving.language import SCRIPT
from components.serving.page_styles import PageStyles
from components.serving.security import route_path

CONFIG = "window.gradio_config"  # everything after it is data
ABOUT_GRADIO = re.compile(r'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
FOR_FRAMES = "document.head.appendChild(script);"  # loads a script that reports the page's height
# The better one comes first.
COMPRESSIONS = {"br": lambda body: brotli.compress(body, quality=7), "gzip": gzip.compress}


class PageHead:
    """ASGI middleware for the page alone: every other response, streams included, passes through unchanged.

    Args:
        root_path: the page's path behind a proxy, as in gradio's `launch`.
        styles: the style sheets of the page's components.
    """

    def __init__(self, app: ASGIApp, root_path: str = "", styles: PageStyles | None = None):
        self.app = app
        self.root_path = root_path
        self.styles = styles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or route_path(scope):
            return await self.app(scope, receive, send)
        start: Message | None = None

        async def send_page(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_page(message):
                start = message  # held back until the body's length is known
                return
            if start:
                if not message.get("more_body"):
                    # Compression would block the event loop for tens of milliseconds.
                    answer = partial(self._answer, message["body"], scope, MutableHeaders(scope=start))
                    message["body"] = await run_in_threadpool(answer)
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_page)

    def _answer(self, body: bytes, scope: Scope, headers: MutableHeaders) -> bytes:
        return _encoded(self._with_head(body, scope), Headers(scope=scope), headers)

    def _with_head(self, body: bytes, scope: Scope) -> bytes:
        """Return the page with SCRIPT in its head and the page's own metadata in place of gradio's. A
        modulepreload link lets the browser fetch the first bundle at once."""
        root = get_root_url(Request(scope), "/", self.root_path or scope.get("root_path"))
        head, config, rest = body.decode().partition(CONFIG)
        head = ABOUT_GRADIO.sub("", head).replace("<head>", f"<head>{SCRIPT}{_about(root)}", 1)
        rest = rest.replace(FOR_FRAMES, f"if (window.parent !== window) {FOR_FRAMES}", 1)
        if self.styles:
            rest = self.styles.link(rest)
        return f"{head}{config}{rest}".encode()


def _is_page(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").startswith("text/html") and "content-length" in headers


def _about(root: str) -> str:
    title, description = texts()["page.name"], texts()["page.description"]
    preview = f"{root}/{assets.address()}/{assets.PREVIEW}"
    named = {"description": description, "twitter:card": "summary_large_image"}
    properties = {
        "og:type": "website",
        "og:title": title,
        "og:description": description,
        "og:url": f"{root}/",
        "og:image": preview,
        "og:image:alt": texts()["page.preview"],
    }
    colours = {"light": PAGE, "dark": PAGE_DARK}
    return "\n".join(
        [
            f"<title>{escape(title)}</title>",
            *(f'<meta name="{name}" content="{escape(value)}">' for name, value in named.items()),
            *(f'<meta property="{name}" content="{escape(value)}">' for name, value in properties.items()),
            *(
                f'<meta name="theme-color" media="(prefers-color-scheme: {theme})" content="{colour}">'
                for theme, colour in colours.items()
            ),
            f'<link rel="icon" href="data:image/svg+xml,{quote(assets.FAVICON.read_text("utf-8"))}">',
            f'<link rel="modulepreload" href="{escape(f"{root}/{assets.address()}/{assets.FIRST}")}">',
        ]
    )


def _encoded(body: bytes, request: Headers, headers: MutableHeaders) -> bytes:
    """Return the body in the best encoding that the request accepts, and set the response's headers."""
    offers = request.get("accept-encoding", "").replace(" ", "").split(",")
    weights = [offer.partition(";q=") for offer in offers]
    accepted = {name for name, _, weight in weights if weight.strip("0.") or not weight}
    encoding = next((name for name in COMPRESSIONS if name in accepted), None)
    if encoding:
        body = _compressed(body, encoding)
        headers["content-encoding"] = encoding
    headers.add_vary_header("Accept-Encoding")
    headers["content-length"] = str(len(body))
    return body


@lru_cache(4)  # the page is the same for everybody who opens it at the same address
def _compressed(body: bytes, encoding: str) -> bytes:
    return COMPRESSIONS[encoding](body)
