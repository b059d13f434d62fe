"""Deleting what is left of visitors who are gone while the page runs: the results of their jobs, gradio's
sessions, and the files of uploads that broke off."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta

from gradio import route_utils, routes
from gradio.route_utils import GradioMultiPartParser
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.datastructures import Headers

from components.parts.gradio_internals import replace, require
from components.serving.jobs import Jobs

MOST_SESSIONS = 300  # gradio's sessions, the most recently used; visitors' work is in jobs.py instead
SESSION_S = 3600  # without use
UPLOAD_S = 900  # the age at which gradio itself deletes complete files (`delete_cache` of the page)
EVERY_S = 60
MOST_FILES = 4  # per upload

_begun: dict[str, float] = {}  # uploading files by their temporary names, with the time of their first byte


def cleaning(jobs: Jobs) -> Callable[[App], AbstractAsyncContextManager]:
    """Return the app's lifespan: delete what is due every minute while the page is served, then end all jobs.

    Raises:
        UserError: this version of gradio keeps its sessions in another way.
    """
    require(StateHolder(), "lock", "session_data", "time_last_used")

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        task = asyncio.create_task(_clean(app, jobs))
        try:
            yield
        finally:
            task.cancel()
            jobs.stop_all()

    return lifespan


async def _clean(app: App, jobs: Jobs) -> None:
    while True:
        jobs.make_room()
        forget_sessions(app.state_holder)
        delete_uploads()
        await asyncio.sleep(EVERY_S)


def forget_sessions(holder: StateHolder) -> None:
    """Delete all that gradio keeps of the sessions that nobody has used for SESSION_S."""
    oldest = datetime.now() - timedelta(seconds=SESSION_S)
    with holder.lock:
        for session, used in list(holder.time_last_used.items()):
            if used < oldest:
                holder.session_data.pop(session, None)
                del holder.time_last_used[session]


def keep_no_values() -> None:
    """Keep gradio from storing what was last sent to a visitor, such as a whole trace: it would do so for its
    deep links, which this page does not have.

    Raises:
        UserError: this version of gradio stores it in another way.
    """
    replace(SessionState, _update_value_in_config=lambda *_: None)


def delete_uploads() -> None:
    """Delete what broken uploads left once it is old. A complete file has another name by then."""
    for path, since in list(_begun.items()):
        if time.monotonic() - since > UPLOAD_S:
            del _begun[path]
            with suppress(OSError):
                os.remove(path)


def limit_uploads() -> None:
    """Let gradio take few files at once, and remember each from its first byte on.

    Raises:
        UserError: this version of gradio reads uploads in another way.
    """
    parser = GradioMultiPartParser(Headers(), _no_bytes(), max_files=MOST_FILES, max_file_size=1)
    require(parser, "on_headers_finished", "_current_part")
    for module in (route_utils, routes):
        replace(module, GradioMultiPartParser=_UploadParser)


async def _no_bytes() -> AsyncGenerator[bytes, None]:
    yield b""


class _UploadParser(GradioMultiPartParser):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "max_files": MOST_FILES})

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file:
            _begun[self._current_part.file.file.name] = time.monotonic()
