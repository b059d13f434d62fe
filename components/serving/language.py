"""The language that gradio gives a browser: the one chosen in gradio's settings, which gradio itself forgets,
otherwise the browser's own.

gradio knows zh-CN and zh-TW, and answers any other Chinese, such as plain zh, in English. It asks the browser
before any script of the page runs, so the answer is corrected in the page's first line.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# zh-Hant, zh-HK and zh-MO write traditional characters.
SCRIPT = b"""<script>
  let chosen = null;
  try {
    chosen = sessionStorage.getItem("adaedl-language");
  } catch {} // a frame without storage
  if (chosen) Object.defineProperty(navigator, "language", { value: chosen, configurable: true });
  if (/^zh\\b/i.test(navigator.language) && !["zh-CN", "zh-TW"].includes(navigator.language)) {
    const value = /hant|hk|mo|tw/i.test(navigator.language) ? "zh-TW" : "zh-CN";
    Object.defineProperty(navigator, "language", { value });
  }
</script>"""


class ChineseBrowsers:
    """ASGI middleware that inserts SCRIPT at the start of the page's head."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        start: Message | None = None

        async def send_corrected(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_page(message):
                start = message  # held back until the body's length is known
                return
            if start:
                if not message.get("more_body"):
                    message["body"] = message["body"].replace(b"<head>", b"<head>" + SCRIPT, 1)
                    MutableHeaders(scope=start)["content-length"] = str(len(message["body"]))
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_corrected)


def _is_page(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    return headers.get("content-type", "").startswith("text/html") and "content-length" in headers
