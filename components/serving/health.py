"""The state of the process, for load balancers, for the host, and for the page's About panel."""

import os
import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adaedl import __version__
from adaedl.system.machine import device_name
from adaedl.system.threads import threads_in_use
from components.parts.browser_part import browser_part
from components.parts.texts import in_all_languages
from components.serving.models_state import ModelsState
from components.settings.hosting import host, on_zero_gpu

PACKAGES = ("torch", "transformers", "gradio", "huggingface_hub", "safetensors", "numpy", "pydantic")
STARTED = time.monotonic()


@cache
def versions() -> dict[str, str]:
    """Return the versions that this runs on, by package."""
    found = {"adaedl": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # installed without its metadata
            found[name] = "unknown"
    return found


def health(models: ModelsState) -> dict:
    """Return what /healthz answers: `status` is ok, loading, or failed where the host's pair could not be
    loaded. It holds nothing about any visitor."""
    state, pair = models.state, models.pair
    racing, waiting = models.in_queue
    threads = threads_in_use()
    told = {
        "status": "ok" if pair else "failed" if models.failed_at is not None else "loading",
        "models": state.sentence,
        "races": {"running": racing, "waiting": waiting, "at_once": host().concurrency},
        "limits": {"new_tokens": host().max_tokens, "race_seconds": host().race_seconds},
        "uptime_s": round(time.monotonic() - STARTED),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "cpus": os.cpu_count(),
            "threads": threads.count,
            "threads_limited_by": in_all_languages(threads.limit),
            "zero_gpu": on_zero_gpu(),
        },
        "versions": versions(),
    }
    if pair:
        told["pair"] = {
            "name": pair.name,
            "target": pair.target_name,
            "draft": pair.draft_name,
            "weights": pair.weights,
            "device": pair.runs_on,
            "device_name": device_name(pair.device),
            "target_path": pair.target.path,
            "slow_forwards": [in_all_languages(sentence) for sentence in pair.slow_forwards],
        }
    return told


def health_route(models: ModelsState) -> Route:
    """Return the route of GET /healthz. It answers 200 while the models are loaded or loading, and 503 where
    the host's pair could not be loaded; a request then starts another attempt."""

    def healthz(request: Request) -> JSONResponse:
        models.try_again()
        told = health(models)
        return JSONResponse(told, 503 if told["status"] == "failed" else 200, {"cache-control": "no-store"})

    return Route("/healthz", healthz)


def about_view():
    """Return the panel at the foot of the page; it requests /healthz when it is opened."""
    return browser_part("about")
