"""The files that the browser loads: the ES modules, texts and recorded races of assets/, plotly.js from the
installed plotly package, and the declarations of the stoppers. Nothing is fetched from elsewhere.

Their address contains a digest of their content, so that a browser may cache them for ever and still never
runs yesterday's code with today's page.
"""

import hashlib
from functools import cache
from pathlib import Path

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from components.parts.folders import ASSETS
from components.parts.stoppers import stoppers_json

SERVED = ("js", "text", "examples")  # the drafter's weights lie in assets/ too, and no browser needs them
STOPPERS = "stoppers.json"
PLOTLY = Path(plotly.__path__[0]) / "package_data" / "plotly.min.js"
# Said here, because a machine's own table of types may be wrong, and a module of another type will not run.
TYPES = {".js": "text/javascript", ".json": "application/json", ".css": "text/css"}


@cache
def files() -> dict[str, Path]:
    """Return every served file: its name below `address`, and its path."""
    found = {
        path.relative_to(ASSETS).as_posix(): path
        for folder in SERVED
        for path in sorted((ASSETS / folder).rglob("*"))
        if path.suffix in TYPES
    }
    return {**found, "vendor/plotly.min.js": PLOTLY}


def address() -> str:
    """Return where the files are served, relative to the page's root: adaedl/<digest>."""
    digest = hashlib.sha256(_files_digest() + stoppers_json().encode())
    return f"adaedl/{digest.hexdigest()[:16]}"


@cache
def _files_digest() -> bytes:
    digest = hashlib.sha256(plotly.__version__.encode())
    for name, path in files().items():
        digest.update(name.encode())
        if path != PLOTLY:
            digest.update(path.read_bytes())
    return digest.digest()


def routes() -> list[Route]:
    """Return the routes to add to gradio's app. There is one flat route, because Starlette does not resolve
    mounted ones where the page is served below a proxy's path."""
    return [Route(f"/{address()}/{{name:path}}", _serve)]


def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    if name == STOPPERS:
        return Response(stoppers_json(), media_type=TYPES[".json"], headers=headers)
    path = files().get(name)
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type=TYPES[path.suffix], headers=headers)


def module_address(name: str) -> str:
    """Return a JavaScript expression for the address of a module of assets/js, wherever the page is."""
    page = "new URL(window.gradio_config?.root || document.baseURI, location.href)"
    return (
        f"((page) => (page.hostname === location.hostname ? location.origin : page.origin) + "
        f'page.pathname.replace(/\\/$/, "") + "/{address()}/js/{name}")({page})'
    )


def load_module(name: str) -> str:
    """Return the js_on_load of a gr.HTML that a module of assets/js draws: it imports the module and calls
    its `mount({element, props, watch, trigger, server, upload})`.

    Within a module, other files are found from `import.meta.url`: ../text/en.json, ../examples/index.json,
    ../vendor/plotly.min.js.
    """
    return f"""import({module_address(name)})
  .then((module) => module.mount({{ element, props, watch, trigger, server, upload }}));"""
