"""The state of the process, for load balancers, the host and the page's About panel."""

import os
import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adaedl.system.machine import device_name
from adaedl.system.threads import threads_in_use
from adaedl.version import __version__
from components.parts.browser_part import browser_part
from components.parts.texts import in_all_languages
from components.serving.models_state import ModelsState
from components.settings.hosting import host, on_zero_gpu

PACKAGES = ("torch", "transformers", "gradio", "huggingface_hub", "safetensors", "numpy", "pydantic")
STARTED = time.monotonic()


@cache
def versions() -> dict[str, str]:
    """Return the installed versions by package."""
    by_package = {"adaedl": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            by_package[name] = version(name)
        except PackageNotFoundError:  # installed without its metadata
            by_package[name] = "unknown"
    return by_package


def health(models: ModelsState) -> dict:
    """Return the answer of /healthz. Its `status` is ok, loading, or failed if the host's pair could not be
    loaded. It says nothing about any visitor."""
    state, pair = models.state, models.pair
    racing, waiting = models.in_queue
    threads = threads_in_use()
    report = {
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
        report["pair"] = {
            "name": pair.name,
            "target": pair.target_name,
            "draft": pair.draft_name,
            "weights": pair.weights,
            "device": pair.runs_on,
            "device_name": device_name(pair.device),
            "target_path": pair.target.path,
            "slow_forwards": [in_all_languages(sentence) for sentence in pair.slow_forwards],
        }
    return report


def health_route(models: ModelsState) -> Route:
    """Return the route of GET /healthz. It answers 200 if the models are loaded or loading, and 503 if the
    host's pair could not be loaded; in that case a request starts another attempt."""

    def healthz(request: Request) -> JSONResponse:
        models.try_again()
        report = health(models)
        status = 503 if report["status"] == "failed" else 200
        return JSONResponse(report, status, {"cache-control": "no-store"})

    return Route("/healthz", healthz)


def about_view():
    """Return the panel at the foot of the page; it requests /healthz when it is opened."""
    return browser_part("about")
