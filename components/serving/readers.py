"""Notice API calls whose results nobody reads.

gradio queues a call's messages until the client opens the call's stream. It ends a call whose stream breaks,
but it doesn't notice a client that never opens the stream.
"""

import asyncio
import time

import gradio as gr
from gradio import queueing

from adaedl.errors import UserError
from components.parts.gradio_internals import replace, require


class Messages(asyncio.Queue):
    """gradio's queue of the messages for one session.

    Attributes:
        unread_since: when a reader last took a message or, if none was waiting then, when the next one came
            (`time.monotonic`); None while no message waits.
    """

    unread_since: float | None = None

    def _put(self, item: object) -> None:
        super()._put(item)
        if self.unread_since is None:
            self.unread_since = time.monotonic()

    def _get(self) -> object:
        item = super()._get()
        self.unread_since = None if self.empty() else time.monotonic()
        return item


def watch_readers(page: gr.Blocks) -> None:
    """Make gradio use `Messages`, where `check_reader` finds them.

    Raises:
        UserError: this version of gradio queues messages differently.
    """
    replace(queueing, AsyncQueue=Messages)
    require(page, "_queue")
    require(page._queue, "pending_messages_per_session")


def check_reader(page: gr.Blocks, request: gr.Request, grace_s: float) -> None:
    """Check that somebody reads the messages of the session that a call belongs to.

    Raises:
        UserError: no message has been read for longer than `grace_s` although some are waiting.
    """
    messages = page._queue.pending_messages_per_session.get(request.session_hash)
    unread_since = getattr(messages, "unread_since", None)
    if unread_since is not None and time.monotonic() - unread_since > grace_s:
        raise UserError(
            "This sweep ended because nobody had read its results for {} s; read its stream while it runs.",
            grace_s,
        )
