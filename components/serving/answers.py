"""Where calls become answers. Whatever goes wrong in an event of the page or in an endpoint of the API, the
caller gets one sentence, and the host's log gets the traceback."""

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
    """A gr.Blocks that answers every event with a result or a sentence, whether it comes from the queue, the
    API or the MCP server."""

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
            gr.Error: with one sentence, for anything that went wrong.
        """
        event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        try:
            if iterator is None:  # otherwise the event is running already and has no values
                check_values(event, inputs)
            return await super().process_api(event, inputs, *arguments, iterator=iterator, **options)
        except gr.Error:
            raise
        except UserError as error:
            told = error
        except InvalidPathError:
            told = _not_uploaded(event, inputs)
        except Exception:
            log.exception("the event %s failed", event.api_name or event.name)
            told = FAILED
        raise gr.Error(str(told), print_exception=False)


def check_values(event: BlockFunction, values: list) -> None:
    """Check that a call has as many values as its event takes, and files where it takes files.

    Raises:
        UserError: naming the value that is missing or not a file.
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
    """Return what to say of a call that names a file of the server."""
    named = zip(event.inputs, names_of(event), values, strict=True)
    found = ((name, value) for part, name, value in named if not part.stateful)
    files = (each for each in found if "gradio.FileData" in repr(each[1]))
    return UserError(NO_UPLOAD, *next(files, ("a file", None)))


def names_of(event: BlockFunction) -> list[str]:
    """Return the names by which callers know an event's inputs: the parameters of an endpoint, or the parts
    of the page."""
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
    """Answer a call of an endpoint that lacks a named value, or brings an unknown one.

    Raises:
        TypeError: the error is about something else.
    """
    if "/call/v2/" in request.url.path:
        if lacking := re.search(r"required argument: (\w+)", str(error)):
            return JSONResponse({"detail": f"This call lacks {lacking[1]}."}, 422)
        if unknown := re.search(r"Parameter `(.{1,60})` is not", str(error)):
            return JSONResponse({"detail": f"This call does not take {unknown[1]}."}, 422)
    raise error


async def answer_unknown_endpoint(request: Request, error: FnIndexInferError) -> JSONResponse:
    """Answer a call of an endpoint that does not exist."""
    return JSONResponse({"detail": "There is no such endpoint; /gradio_api/info lists them."}, 404)


async def answer_failure(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that failed outside an event; the server logs the error."""
    return JSONResponse({"detail": str(FAILED)}, 500)


FAILURES = {
    FnIndexInferError: answer_unknown_endpoint,
    TypeError: answer_wrong_parameter,
    Exception: answer_failure,
}
