"""A stopper that chooses among stoppers: TapOut's bandit."""

import math
from typing import Any

from adaedl.stopping.adaptive import AdaEDL, MaxConfidence
from adaedl.stopping.base import DistributionStopper, DraftStep
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number
from adaedl.stopping.static import SVIP, Margin


@register_stopper
class Bandit(DistributionStopper):
    """TapOut's sequence-level bandit: UCB1 chooses one of several training-free rules for each round, from
    the rewards of earlier rounds.

    As in the paper: one choice a round; UCB1, mean reward + √(2·ln t / n) (Auer et al., 2002), each arm once
    first; the reward blends the accepted length and the acceptance rate,
    α·accepted/max_draft + (1 − α)·accepted/drafted, with α = 0.5. Not as in the paper: the arms are this
    registry's rules, which judge entropy, top probability and margin, each with its published threshold,
    frozen, so that an arm has no state and its rewards belong to one rule; the paper's arm of entropy
    differences (SVIP-Difference) is missing; and every text starts afresh, where the paper learns
    over a whole set of prompts.
    """

    name = "bandit"
    summary = "Picks AdaEDL, top probability, SVIP or margin each round by UCB1, from what each has brought."
    source = "Sridhar et al. (TapOut), arXiv 2511.02017"
    looks_at = ("entropy", "top_prob", "margin", "acceptance")

    blend: float = number(
        0.5,
        0,
        1,
        "weight of the accepted length",
        "Share of the accepted length in the reward; the rest is the acceptance rate.",
    )

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.arms = (AdaEDL(adapt=False), MaxConfidence(adapt=False), SVIP(), Margin())
        self.plays = (0,) * len(self.arms)
        self.rewards = (0.0,) * len(self.arms)

    @property
    def arm(self) -> int:
        """The arm of this round: the first that was never played, else the one with the highest bound."""
        if 0 in self.plays:
            return self.plays.index(0)
        explore = 2 * math.log(sum(self.plays))
        bounds = [r / n + math.sqrt(explore / n) for r, n in zip(self.rewards, self.plays, strict=True)]
        return bounds.index(max(bounds))

    def should_stop(self, step: DraftStep) -> bool:
        arm = self.arms[self.arm]
        stop = arm.should_stop(step)
        self.score, self.threshold = arm.score, arm.threshold
        return stop

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        # A round whose first token was dropped brought nothing, which is a reward too.
        rate = accepted / drafted if drafted else 0.0
        reward = self.blend * accepted / self.max_draft + (1 - self.blend) * rate
        # New tuples, so that a copy of a stopper goes its own way.
        played = range(len(self.arms))
        arm = self.arm
        self.rewards = tuple(self.rewards[n] + reward * (n == arm) for n in played)
        self.plays = tuple(self.plays[n] + (n == arm) for n in played)
