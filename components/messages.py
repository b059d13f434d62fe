"""Sentences for the visitor, as escaped HTML."""

from html import escape

from adaedl.models.pair import Pair
from components.models_state import LoadState


def status_html(sentence: str) -> str:
    """What is going on with the race."""
    return f'<p class="status" role="status">{escape(sentence)}</p>'


def error_html(sentence: str) -> str:
    """What will not do, and what would."""
    return f'<p class="status error" role="alert"><span aria-hidden="true">⚠ </span>{escape(sentence)}</p>'


def models_html(state: LoadState, pair: Pair | None) -> str:
    """Which models are here, or how far they are; once loaded, which weights they have."""
    if state.phase == "ready" and pair:
        said = f"{escape(state.sentence)}: {escape(pair.target_name)} and {escape(pair.draft_name)}"
        detail = f'<span class="weights">weights: {escape(pair.weights)}</span>'
    elif state.phase == "failed":
        said, detail = escape(state.sentence), "Run tries again."
    else:
        said = escape(state.sentence)
        share = "" if state.fraction is None else f' value="{state.fraction:.2f}"'
        detail = f'<progress max="1"{share} aria-label="loading the models"></progress>'
    return (
        f'<p class="models" role="status" data-phase="{state.phase}">'
        f"<strong>Models:</strong> <span>{said}</span> {detail}</p>"
    )
