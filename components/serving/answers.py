"""Answers to calls that go wrong. Whatever fails in an event of the page or in an API endpoint, the caller
gets one sentence, and the host's log gets the traceback."""

import inspect
import logging
import re
from collections.abc import AsyncIterator

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.components.api_component import Api
from gradio.exceptions import InvalidPathError
from gradio.i18n import I18nData
from gradio.route_utils import FnIndexInferError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from adaedl.errors import UserError
from components.parts.texts import texts

FAILED = UserError("The operation failed; try again. The server log has the reason.")
NO_UPLOAD = "{} is {!r:.60}; it must be a file that was uploaded."

log = logging.getLogger(__name__)


class Page(gr.Blocks):
    """A gr.Blocks that answers every event with a result or one sentence, whether the event comes from the
    queue, the API or the MCP server."""

    async def process_api(
        self,
        block_fn: BlockFunction | int,
        inputs: list,
        *arguments,
        iterator: AsyncIterator | None = None,
        **options,
    ) -> dict:
        """Run an event as gr.Blocks does.

        Raises:
            gr.Error: anything went wrong; the message is one sentence.
        """
        event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        try:
            if iterator is None:  # an event that is already running has no values
                check_values(event, inputs)
            return await super().process_api(event, inputs, *arguments, iterator=iterator, **options)
        except gr.Error:
            raise
        except UserError as error:
            answer = error
        except InvalidPathError:
            answer = _not_uploaded(event, inputs)
        except Exception:
            log.exception("the event %s failed", event.api_name or event.name)
            answer = FAILED
        raise gr.Error(str(answer), print_exception=False)


def check_values(event: BlockFunction, values: list) -> None:
    """Check that a call has one value for each input of its event, and a file for each file input.

    Raises:
        UserError: a value is missing, is one too many or is not a file; the message names it.
    """
    names = names_of(event)
    if len(values) != len(names):
        count, listed = len(values), ", ".join(names) or "none"
        if count > len(names):
            raise UserError("This call has {} values; it takes {}: {}.", count, len(names), listed)
        raise UserError(
            "This call lacks {}: it has {} values and takes {}: {}.",
            names[count],
            count,
            len(names),
            listed,
        )
    for part, name, value in zip(event.inputs, names, values, strict=True):
        model = getattr(part, "data_model", None)
        if model is None or value is None or part.stateful:
            continue
        try:
            model.model_validate(value, context={"validate_meta": True})
        except ValidationError:
            raise UserError(NO_UPLOAD, name, value) from None


def _not_uploaded(event: BlockFunction, values: list) -> UserError:
    """Return the error for a call that names a file on the server."""
    inputs = zip(event.inputs, names_of(event), values, strict=True)
    sent = ((name, value) for part, name, value in inputs if not part.stateful)
    files = (each for each in sent if "gradio.FileData" in repr(each[1]))
    return UserError(NO_UPLOAD, *next(files, ("a file", None)))


def names_of(event: BlockFunction) -> list[str]:
    """Return the names of an event's inputs as callers know them: the endpoint's parameters, or the parts of
    the page."""
    if all(isinstance(part, Api) for part in event.inputs):
        parameters = inspect.signature(event.fn).parameters.values()
        return [each.name for each in parameters if each.annotation is not gr.Request]
    return [_name_of(part) for part in event.inputs]


def _name_of(part: gr.components.Component) -> str:
    if part.stateful:
        return "state"
    if part.elem_id:
        return part.elem_id
    label = part.label
    return texts()[label.key] if isinstance(label, I18nData) else str(label)


async def answer_wrong_parameter(request: Request, error: TypeError) -> JSONResponse:
    """Answer an API call that lacks a parameter or has an unknown one.

    Raises:
        TypeError: the error has another cause.
    """
    if "/call/v2/" in request.url.path:
        if missing := re.search(r"required argument: (\w+)", str(error)):
            return JSONResponse({"detail": f"This call lacks {missing[1]}."}, 422)
        if unknown := re.search(r"Parameter `(.{1,60})` is not", str(error)):
            return JSONResponse({"detail": f"This call does not take {unknown[1]}."}, 422)
    raise error


async def answer_unknown_endpoint(request: Request, error: FnIndexInferError) -> JSONResponse:
    """Answer a call to an endpoint that does not exist."""
    return JSONResponse({"detail": "There is no such endpoint; /gradio_api/info lists them."}, 404)


async def answer_failure(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that failed outside an event; the server logs the error."""
    return JSONResponse({"detail": str(FAILED)}, 500)


FAILURES = {
    FnIndexInferError: answer_unknown_endpoint,
    TypeError: answer_wrong_parameter,
    Exception: answer_failure,
}
