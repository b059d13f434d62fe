"""Combine the style sheets that the page needs at first into one file: those that gradio would load one by
one for the page's components, and the player's.

gradio's scripts and assets/js/sheets.js load a sheet with the component that needs it, unless the page
already links the sheet. So the page links the one file, and each sheet in it as a disabled link, which loads
nothing. If gradio's files are not as expected here, the sheets load the usual way.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from components.parts import assets

FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"
OWN = (  # of assets/js
    "early.css",
    "palette.css",
    "player.css",
    "player/hero.css",
    "temperatures/temperatures.css",
)
ENTRY = re.compile(r'src="\./assets/([\w.-]+\.js)"')
LINK = re.compile(r'<link rel="stylesheet"[^>]*href="\./assets/([\w.-]+\.css)">')
FILES = re.compile(r"m\.f=\[([^\]]*)\]")  # a script's list of files; its imports refer to them by index
IMPORT = re.compile(
    r"(?:[{,](\w+):\{)?(?:(?:base|example|component):)?[^{]*?import\(`\./([\w.-]+)`\)"
    r".{0,60}?__vite__mapDeps\(\[([\d,]*)\]\)"
)


class PageStyles:
    """The style sheets that a page needs at first.

    Attributes:
        address: the address of the combined file, relative to the page's root.
    """

    def __init__(self, page: gr.Blocks):
        types = {block.get_block_name() for block in page.blocks.values()}
        gradios = {f"assets/{name}": _read(name) for name in needed(types)}
        own = {
            f"{assets.address()}/js/{name}": (assets.ASSETS / "js" / name).read_text("utf-8") for name in OWN
        }
        self.sheets = gradios | own  # by their addresses
        self.text = "\n".join(self.sheets.values())
        self.address = f"adaedl-styles/{hashlib.sha256(self.text.encode()).hexdigest()[:16]}.css"

    def route(self) -> Route:
        """Return the route of the combined file."""
        headers = {"cache-control": "public, max-age=31536000, immutable"}

        def serve(_: Request) -> Response:
            return Response(self.text, media_type="text/css", headers=headers)

        return Route(f"/{self.address}", serve)

    def link(self, head: str) -> str:
        """Return the page's head with a link to the combined file, in place of gradio's first sheet if the
        file contains that sheet."""
        # A browser that reads ahead heeds `media`, but not `disabled`.
        disabled = "".join(
            f'<link rel="stylesheet" href="./{name}" media="not all" disabled>' for name in self.sheets
        )
        links = f'<link rel="stylesheet" href="./{self.address}">{disabled}'
        first = LINK.search(head)
        if first and f"assets/{first[1]}" in self.sheets:
            return head.replace(first[0], links, 1)
        return head.replace("</head>", f"{links}</head>", 1)


def needed(types: set[str]) -> list[str]:
    """Return the names of the sheets that gradio loads for components of these types, in its order; an empty
    list if its scripts are not as expected."""
    try:
        html = (FRONTEND / "index.html").read_text("utf-8")
        names = [LINK.search(html)[1]]
        for _, script, sheets in _imports(ENTRY.search(html)[1]):
            names += sheets
            for kind, part, sheets in _imports(script):
                # One of the two scripts has all components, the other the parts that every page needs.
                names += sheets if kind in types or part.startswith("Blocks") else []
        return [name for name in dict.fromkeys(names) if "url(." not in _read(name)]
    except (OSError, TypeError, IndexError):
        return []


def _imports(script: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each dynamic import of a script of gradio: the type of component ("" if it is none), the imported
    script, and the sheets that are loaded with it."""
    source = _read(script)
    listing = FILES.search(source)
    files = re.findall(r'"\./([^"]+)"', listing[1]) if listing else []
    kind = ""
    for named, imported, numbers in IMPORT.findall(source):
        kind = named or kind
        loaded = [files[int(number)] for number in numbers.split(",") if number]
        yield kind, imported, [name for name in loaded if name.endswith(".css")]


def _read(name: str) -> str:
    return (FRONTEND / "assets" / name).read_text("utf-8")
