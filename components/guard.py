"""What stands between the page and those who mean it harm, beyond the checks of each input: headers on every
answer, and no requests of the server's to places that a visitor names."""

import gradio as gr
from gradio_client.utils import is_http_url_like
from starlette.datastructures import MutableHeaders

from adaedl.errors import UserError

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


def refuse_addresses(page: gr.Blocks) -> None:
    """Let no input of the page be a file at an address, which gradio would have the server fetch."""
    for block in page.blocks.values():
        block.async_move_resource_to_block_cache = _uploads_alone(block.async_move_resource_to_block_cache)


def _uploads_alone(move):
    async def move_upload(url_or_file_path):
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise UserError("A file at an address is not read here; upload it.")
        return await move(url_or_file_path)

    return move_upload
