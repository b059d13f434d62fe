"""Serve the files that the browser loads: the ES modules of assets/, singly and in bundles, the texts and
recorded races, plotly.js from the installed plotly package, and the declarations of the stoppers. The browser
fetches nothing from other servers.

The files' address contains a digest of their content, so that a browser may cache them indefinitely and still
never runs yesterday's code with today's page.
"""

import hashlib
from functools import cache
from pathlib import Path

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from adaedl.html.page import PAGE
from components.parts.bundle import bundles
from components.parts.folders import ASSETS
from components.parts.stoppers import stoppers_json

SERVED = ("js", "text", "examples")  # but not the drafter's weights, which are also in assets/
STOPPERS = "stoppers.json"
RACE_PAGE = "race.html"  # assets/js/race_page.js puts a race into it
FIRST = "bundle/first.js"
PREVIEW = "preview.png"  # a picture of the page, for link previews
FAVICON = ASSETS / "favicon.svg"
PLOTLY = Path(plotly.__path__[0]) / "package_data" / "plotly.min.js"
# Fixed here, because a machine's own table of types may be wrong, and a browser refuses a module of another
# type.
TYPES = {".js": "text/javascript", ".json": "application/json", ".css": "text/css", ".png": "image/png"}
TYPES |= {".html": "text/plain"}  # a template, not a page of this server


@cache
def files() -> dict[str, Path]:
    """Return every served file: its name relative to `address`, and its path."""
    served = {
        path.relative_to(ASSETS).as_posix(): path
        for folder in SERVED
        for path in sorted((ASSETS / folder).rglob("*"))
        if path.suffix in TYPES
    }
    preview = ASSETS / "screenshots" / "race-light-1440.png"
    return {**served, "vendor/plotly.min.js": PLOTLY, PREVIEW: preview, RACE_PAGE: PAGE}


def address() -> str:
    """Return the files' address relative to the page's root: adaedl/<digest>."""
    digest = hashlib.sha256(_files_digest() + stoppers_json().encode())
    return f"adaedl/{digest.hexdigest()[:16]}"


@cache
def _files_digest() -> bytes:
    digest = hashlib.sha256(plotly.__version__.encode())
    for name, path in files().items():
        digest.update(name.encode())
        if path != PLOTLY:
            digest.update(path.read_bytes())
    for bundle in bundles().values():
        digest.update(bundle.encode())
    return digest.digest()


def routes() -> list[Route]:
    """Return the routes to add to gradio's app. This is one flat route, because Starlette does not resolve
    mounted routes if a proxy serves the page below a path."""
    return [Route(f"/{address()}/{{name:path}}", _serve)]


def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    if name == STOPPERS:
        return Response(stoppers_json(), media_type=TYPES[".json"], headers=headers)
    if bundle := bundles().get(name):
        return Response(bundle, media_type=TYPES[".js"], headers=headers)
    path = files().get(name)
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type=TYPES[path.suffix], headers=headers)


def file_address(name: str) -> str:
    """Return a JavaScript expression for the address of a served file, whatever the page's address is."""
    page = "new URL(window.gradio_config?.root || document.baseURI, location.href)"
    return (
        f"((page) => (page.hostname === location.hostname ? location.origin : page.origin) + "
        f'page.pathname.replace(/\\/$/, "") + "/{address()}/{name}")({page})'
    )


def open_module(name: str) -> str:
    """Return a JavaScript expression for a promise of a module of assets/js, taken from the bundles."""
    return f'import({file_address(FIRST)}).then(({{ open }}) => open("{name}"))'


def load_module(name: str) -> str:
    """Return the js_on_load of a gr.HTML that a module of assets/js draws: it opens the module and calls its
    `mount({element, props, watch, trigger, server, upload})`.

    A module finds other files relative to `import.meta.url`: ../text/en.json, ../examples/index.json,
    ../vendor/plotly.min.js.
    """
    return f"""{open_module(name)}
  .then((module) => module.mount({{ element, props, watch, trigger, server, upload }}));"""
