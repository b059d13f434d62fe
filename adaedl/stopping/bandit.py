"""A stopper that chooses among stoppers: TapOut's bandit."""

import math
from copy import copy
from typing import Any

from adaedl.stopping.adaptive import AdaEDL, MaxConfidence
from adaedl.stopping.base import DistributionStopper, DraftStep, ScoreStopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number
from adaedl.stopping.static import SVIP, Margin


class SVIPDifference(ScoreStopper):
    """TapOut's entropy-difference arm: stops when √H(q) rises by more than 0.2 from one draft of a round to
    the next. As a score: 1 − rise is below 0.8. The first draft of a round has score 1.

    The paper names SVIP-Difference, but we could not read its formula and threshold. The square root is
    SVIP's, and 0.2 is the threshold of the margin.
    """

    name = "svip_difference"
    threshold = 0.8

    root = 0.0  # of the previous draft's entropy

    def score_of(self, step: DraftStep) -> float:
        root = math.sqrt(max(step.entropy, 0.0))
        rise = root - self.root if step.position > 1 else 0.0
        self.root = root
        return 1 - rise


@register_stopper
class Bandit(DistributionStopper):
    """TapOut's sequence-level bandit: UCB1 chooses one of several training-free rules for each round, based
    on the rewards of earlier rounds.

    As in the paper: one choice per round; UCB1, mean reward + √(2·ln t / n) (Auer et al., 2002), after each
    arm was played once; the reward blends the accepted length and the acceptance rate,
    α·accepted/max_draft + (1 − α)·accepted/drafted, with α = 0.5.

    Differences from the paper: the arms are the registered rules for entropy, top probability and margin, and
    `SVIPDifference`, each with a fixed threshold, so that an arm's rewards belong to one unchanging rule; and
    every text starts from scratch, while the paper learns over a whole set of prompts.
    """

    name = "bandit"
    title = "Bandit"
    lane_detail = "picks one of five rules each round"
    summary = (
        "Picks AdaEDL, top probability, SVIP, entropy rise or margin for each round, by past gains (UCB1)."
    )
    source = "Sridhar et al. (TapOut), arXiv 2511.02017"
    looks_at = ("entropy", "top_prob", "margin", "acceptance")

    blend: float = number(
        0.5,
        0,
        1,
        "weight of accepted length",
        "Share of the accepted length in the reward; the rest is the acceptance rate.",
    )

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.arms: tuple[ScoreStopper, ...] = (
            AdaEDL(adapt=False),
            MaxConfidence(adapt=False),
            SVIP(),
            Margin(),
            SVIPDifference(),
        )
        self.plays = (0,) * len(self.arms)
        self.rewards = (0.0,) * len(self.arms)

    @property
    def arm(self) -> int:
        """The arm of this round: the first that was never played, or else the arm with the highest bound."""
        if 0 in self.plays:
            return self.plays.index(0)
        exploration = 2 * math.log(sum(self.plays))
        bounds = [r / n + math.sqrt(exploration / n) for r, n in zip(self.rewards, self.plays, strict=True)]
        return bounds.index(max(bounds))

    def should_stop(self, step: DraftStep) -> bool:
        number = self.arm
        arm = copy(self.arms[number])  # so that copies of the bandit do not share it
        self.arms = (*self.arms[:number], arm, *self.arms[number + 1 :])
        stop = arm.should_stop(step)
        self.score, self.threshold = arm.score, arm.threshold
        return stop

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        # A round that dropped its first token gained nothing: its reward is 0.
        rate = accepted / drafted if drafted else 0.0
        reward = self.blend * accepted / self.max_draft + (1 - self.blend) * rate
        # New tuples, so that copies of a stopper stay independent.
        numbers = range(len(self.arms))
        arm = self.arm
        self.rewards = tuple(self.rewards[n] + reward * (n == arm) for n in numbers)
        self.plays = tuple(self.plays[n] + (n == arm) for n in numbers)
