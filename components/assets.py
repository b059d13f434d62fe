"""The browser's own files: the ES modules, texts and recorded races of assets/, and plotly.js out of the
installed plotly package. Nothing is fetched from elsewhere.

Their address carries a digest of their content, so that a browser keeps them for good and still never
runs yesterday's code with today's page.
"""

import hashlib
from functools import cache
from pathlib import Path

import plotly
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SERVED = ("js", "text", "examples")  # the drafter's weights lie in assets/ too, and no browser needs them
PLOTLY = Path(plotly.__path__[0]) / "package_data"
TYPES = {".js": "text/javascript", ".json": "application/json", ".css": "text/css"}
FOR_GOOD = "public, max-age=31536000, immutable"


class _Files(StaticFiles):
    """Static files with their right types, whatever the machine's own table of types says."""

    def file_response(self, full_path, *arguments, **options) -> Response:
        response = super().file_response(full_path, *arguments, **options)
        response.headers["cache-control"] = FOR_GOOD
        kind = TYPES.get(Path(full_path).suffix)
        if kind and "content-type" in response.headers:
            response.headers["content-type"] = f"{kind}; charset=utf-8"
        return response


class _Plotly(_Files):
    """plotly.min.js alone, out of all that its package holds."""

    def lookup_path(self, path: str):
        return super().lookup_path(path if path == "plotly.min.js" else "")


@cache
def address() -> str:
    """Where the files are, relative to the page's root: adaedl/<digest>."""
    digest = hashlib.sha256(plotly.__version__.encode())
    for folder in SERVED:
        for file in sorted(path for path in (ASSETS / folder).rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(ASSETS)).encode())
            digest.update(file.read_bytes())
    return f"adaedl/{digest.hexdigest()[:16]}"


def routes() -> list[BaseRoute]:
    """The routes to give to gradio's app; they must come before gradio's own."""
    folders = [Mount(f"/{folder}", _Files(directory=ASSETS / folder, check_dir=False)) for folder in SERVED]
    vendor = Mount("/vendor", _Plotly(directory=PLOTLY))
    return [Mount(f"/{address()}", routes=[*folders, vendor])]


def module_address(name: str) -> str:
    """A JavaScript expression: the address of a module of assets/js, wherever the page is mounted."""
    page = "new URL(window.gradio_config?.root || document.baseURI, location.href)"
    return (
        f"((page) => (page.hostname === location.hostname ? location.origin : page.origin) + "
        f'page.pathname.replace(/\\/$/, "") + "/{address()}/js/{name}")({page})'
    )


def load_module(name: str) -> str:
    """The js_on_load of a gr.HTML that a module of assets/js draws: it imports the module and calls its
    `mount({element, props, watch, trigger, server, upload})`.

    Within a module, other files are found from `import.meta.url`: ../text/en.json, ../examples/index.json,
    ../vendor/plotly.min.js.
    """
    return f"""import({module_address(name)})
  .then((module) => module.mount({{ element, props, watch, trigger, server, upload }}));"""
