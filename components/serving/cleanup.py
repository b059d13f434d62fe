"""Clean up after visitors who have left, while the page runs: their jobs' results, gradio's sessions, and the
files of interrupted uploads."""

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

MOST_SESSIONS = 300  # gradio's sessions, the most recently used ones; visitors' work is in jobs.py
SESSION_S = 3600  # without use
UPLOAD_S = 900  # the age at which gradio itself deletes complete files (`delete_cache` of the page)
EVERY_S = 60
MOST_FILES = 4  # per upload

_uploads: dict[str, float] = {}  # temporary name of a file being uploaded → time of its first byte


def cleaning(jobs: Jobs) -> Callable[[App], AbstractAsyncContextManager]:
    """Return the app's lifespan: clean up every minute while the page is served, then end all jobs.

    Raises:
        UserError: this version of gradio stores its sessions differently.
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
    """Delete gradio's data of all sessions that nobody has used for SESSION_S."""
    oldest = datetime.now() - timedelta(seconds=SESSION_S)
    with holder.lock:
        for session, used in list(holder.time_last_used.items()):
            if used < oldest:
                holder.session_data.pop(session, None)
                del holder.time_last_used[session]


def keep_no_values() -> None:
    """Keep gradio from storing the last values that it sent to a visitor, such as a whole trace. It stores
    them for deep links, which this page does not have.

    Raises:
        UserError: this version of gradio stores the values differently.
    """
    replace(SessionState, _update_value_in_config=lambda *_: None)


def delete_uploads() -> None:
    """Delete old files of interrupted uploads. gradio has renamed complete files by then."""
    for path, since in list(_uploads.items()):
        if time.monotonic() - since > UPLOAD_S:
            del _uploads[path]
            with suppress(OSError):
                os.remove(path)


def limit_uploads() -> None:
    """Limit the files per upload to MOST_FILES, and keep track of each file from its first byte.

    Raises:
        UserError: this version of gradio reads uploads differently.
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
            _uploads[self._current_part.file.file.name] = time.monotonic()
