"""The state of both models on a text: what they have read of the prompt and of the verified tokens."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adaedl.decoding.verification import Verdict
from adaedl.draft_phase import DraftPhase
from adaedl.errors import UserError
from adaedl.models.drafters.base import DraftSession
from adaedl.models.protocol import Cache, prefill
from adaedl.pairs.pair import Pair


@dataclass
class Context:
    """The caches of both models, and the certain tokens that are not in them yet. Tokens of the prompt and
    verified tokens are certain.

    Every lane of a race starts from a copy of the context that `read_prompt` returns.

    Attributes:
        target_cache: the target's cache, of all certain tokens except the last.
        session: the drafter's session; None if nothing is drafted.
        unread: [m] the certain tokens that the drafter has not read yet; the target has not read the last one
            either. After `read_prompt` only the prompt's last token.
        features: [m, F] the target's features one position before each unread token; None for an independent
            drafter.
        prompt_tokens: length of the prompt.
    """

    target_cache: Cache
    session: DraftSession | None
    unread: Tensor
    features: Tensor | None
    prompt_tokens: int

    @property
    def vocab(self) -> Tensor | None:
        """[Vq] the target's ids of the drafter's vocabulary; None if the vocabularies are the same."""
        return self.session.vocab if self.session else None

    def copy(self) -> "Context":
        """Return an independent context in the same state."""
        session = self.session.copy() if self.session else None
        return replace(self, target_cache=self.target_cache.copy(), session=session)

    def without_drafter(self) -> "Context":
        """Return a context for the target alone, on the same cache."""
        return replace(self, session=None, features=None)

    def rewind(self, phase: DraftPhase, verdict: Verdict, features: Tensor | None) -> None:
        """Remove the rejected drafts from both caches, and add the round's new certain tokens to `unread`.

        Args:
            features: [k + 1, F] the target's features of the tokens in the round's forward.
        """
        rejected = len(phase.drafts) - verdict.accepted
        self.target_cache.rewind(self.target_cache.length - rejected)
        certain = verdict.certain
        seen = None if features is None else features[: 1 + verdict.accepted]
        if phase.steps:
            self.session.rewind(verdict.accepted)
        elif self.session:  # nothing was drafted, so the drafter has not read the earlier tokens either
            certain = torch.cat((self.unread, certain))
            seen = None if seen is None else torch.cat((self.features, seen))
        self.unread, self.features = certain, seen


@torch.inference_mode()
def read_prompt(pair: Pair, prompt_ids: Tensor, max_new_tokens: int, draft: bool = True) -> Context:
    """Prefill both models with prompt_ids [T], with room in the caches for max_new_tokens more.

    Args:
        draft: False prefills the target alone.

    Raises:
        UserError: the prompt is empty, or prompt and answer do not fit the context.
    """
    if len(prompt_ids) == 0:
        raise UserError("The prompt is empty; enter a question or the start of a text.")
    if len(prompt_ids) + max_new_tokens > pair.max_context:
        raise UserError(
            "The prompt has {} tokens and you requested {} new ones, but {} reads at most {}; shorten the "
            "prompt or request fewer tokens.",
            len(prompt_ids),
            max_new_tokens,
            pair.name,
            pair.max_context,
        )
    # No round drafts beyond max_new_tokens, so a cache never holds more tokens than this.
    capacity = len(prompt_ids) + max_new_tokens
    layers = pair.drafter.feature_layers if draft else ()
    cache = pair.target.new_cache(capacity)
    before = prompt_ids[:-1]
    seen = prefill(pair.target, before, cache, layers) if len(before) else None
    session, features = None, None
    if draft:
        if layers and seen is None:
            width = len(layers) * pair.target.hidden_size
            seen = torch.zeros(0, width, device=pair.device)
        session = pair.drafter.start(before, seen, capacity)
        if layers:
            features = seen[-1:] if len(before) else seen.new_zeros(1, seen.shape[1])
    return Context(cache, session, prompt_ids[-1:], features, len(prompt_ids))
