"""Delete what visitors leave behind while the page runs: results of their jobs, gradio's sessions, and files
of interrupted uploads."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta

from gradio import route_utils, routes
from gradio.route_utils import GradioMultiPartParser
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder

from components.serving.jobs import Jobs

MOST_SESSIONS = 300  # gradio's sessions, the most recently used; visitors' work is in jobs.py instead
SESSION_S = 3600  # without use
UPLOAD_S = 900  # the age at which gradio itself deletes complete files (`delete_cache` of the page)
EVERY_S = 60
MOST_FILES = 4  # per upload

_begun: dict[str, float] = {}  # uploading files by their temporary names, with the time of their first byte


def upkeep(jobs: Jobs) -> Callable[[App], AbstractAsyncContextManager]:
    """While the page is served, delete what is due every minute. Then end all jobs."""

    @asynccontextmanager
    async def keeping_up(app: App) -> AsyncIterator[None]:
        task = asyncio.create_task(_keep_up(app, jobs))
        try:
            yield
        finally:
            task.cancel()
            jobs.stop_all()

    return keeping_up


async def _keep_up(app: App, jobs: Jobs) -> None:
    while True:
        jobs.make_room()
        forget_sessions(app.state_holder)
        delete_uploads()
        await asyncio.sleep(EVERY_S)


def forget_sessions(holder: StateHolder) -> None:
    """Drop everything that gradio keeps of sessions that have not been used for SESSION_S."""
    oldest = datetime.now() - timedelta(seconds=SESSION_S)
    with holder.lock:
        for session, used in list(holder.time_last_used.items()):
            if used < oldest:
                holder.session_data.pop(session, None)
                del holder.time_last_used[session]


def keep_no_values() -> None:
    """Stop gradio from keeping what was last on a visitor's screen or sent to a client, such as a whole
    trace. It keeps these values for its deep links, which this page does not have."""
    SessionState._update_value_in_config = lambda *_: None


def delete_uploads() -> None:
    """Delete old remains of interrupted uploads. A complete file has been renamed by then."""
    for path, since in list(_begun.items()):
        if time.monotonic() - since > UPLOAD_S:
            del _begun[path]
            with suppress(OSError):
                os.remove(path)


def limit_uploads() -> None:
    """Limit the number of files in an upload, and register each file from its first byte on."""
    route_utils.GradioMultiPartParser = routes.GradioMultiPartParser = _UploadParser


class _UploadParser(GradioMultiPartParser):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **{**options, "max_files": MOST_FILES})

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file:
            _begun[self._current_part.file.file.name] = time.monotonic()
