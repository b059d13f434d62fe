"""A race as a single HTML file with a player, for a slide, a blog or a notebook."""

from adaedl.errors import Parameter, UserError
from adaedl.html.page import page_of
from adaedl.trace import Trace


def to_html(trace: Trace, title: str = "") -> str:
    """Return a race as a single HTML file with a player, in English and Chinese, light and dark.

    The file loads nothing from any server and can be opened from disk. In the fragment of its URL, `lang=zh`,
    `theme=dark`, `embed=1` and `lecture` choose how it opens.

    Args:
        trace: a race from `adaedl.race`, or read by `Trace.from_json`.
        title: the page's title; if empty, the prompt.

    Raises:
        UserError: `trace` is not a trace or contradicts itself, or `title` is not a string.
    """
    if not isinstance(trace, Trace):
        raise UserError(
            "to_html takes a Trace, not a {}; adaedl.race returns one, and Trace.from_json reads one.",
            type(trace).__name__,
        )
    if not isinstance(title, str):
        raise UserError("{} is {!r}; it must be text.", Parameter("title"), title)
    json = trace.to_json()
    Trace.from_json(json)  # a player of a race that contradicts itself would show nothing
    return page_of(json, [lane.stopper for lane in trace.lanes], title)
