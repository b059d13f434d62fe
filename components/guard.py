"""What stands between the page and those who mean it harm, beyond the checks of each input: headers on every
answer, and no requests of the server's to places that a visitor names."""

import gradio as gr
from gradio import processing_utils
from starlette.datastructures import MutableHeaders

# gradio's page, and with it gr.HTML, runs scripts that stand in the page and makes functions of text. What is
# left to forbid is that anything is fetched from, sent to or shown from elsewhere.
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


class SecurityHeaders:
    """ASGI middleware: the same headers on every answer, streams included.

    Args:
        on_spaces: the page is shown within huggingface.co, in a frame.
    """

    def __init__(self, app, on_spaces: bool = False):
        self.app = app
        framed_by = "'self' https://huggingface.co https://*.hf.space" if on_spaces else "'self'"
        policy = {**POLICY, "frame-ancestors": framed_by}
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
    """Let gradio fetch no file for a visitor: it takes {"path": "https://…"} in place of any input for a file
    at that address, which the server would then ask for."""
    processing_utils.async_ssrf_protected_download = _refuse_address


async def _refuse_address(url: str, *_, **__) -> str:
    raise gr.Error("A file at an address is not read here; upload it.", print_exception=False)
