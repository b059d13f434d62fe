"""Stoppers whose threshold follows the measured acceptance rate: AdaEDL and maximum confidence."""

from typing import Any

from adaedl.stopping.base import DraftStep, ScoreStopper, acceptance_lower_bound
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number, switch


class AdaptiveStopper(ScoreStopper):
    """A score stopper that adapts its threshold by the rule of Draft & Verify (Zhang et al., arXiv
    2309.08168, section 3.3), unless `adapt` is false.

    The rule expects at least one verified draft a round. Without `keep_last` a round may drop its only draft
    and so measure no acceptance. If nothing changed then, every later round would stop at such a token too,
    and pay for a draft each time. So a round like that lowers the threshold by `epsilon`: nothing was
    measured that speaks for stopping, and verifying the draft would have cost next to nothing more. It is the
    whole `epsilon`, because `beta2` smooths the noise of measured rates and here there is none.
    """

    threshold: float = number(
        0.4,
        -10,
        1,
        "threshold",
        "Drafting stops where the score is below λ. Where λ adapts, this is its first value.",
        symbol="λ",
        slider="lambda",
        slider_range=(0, 1),
    )
    adapt: bool = switch(
        True, "λ adapts", "After each round λ follows the measured acceptance rate.", slider="adapt"
    )
    epsilon: float = number(
        0.01, 0, 1, "threshold step", "By how much a round may change λ, before smoothing.", symbol="ε"
    )
    beta1: float = number(
        0.5,
        0,
        1,
        "smoothing of the acceptance rate",
        "Weight of earlier rounds in the acceptance rate α.",
        symbol="β₁",
    )
    beta2: float = number(
        0.9, 0, 1, "smoothing of the threshold", "Weight of the old λ in the new one.", symbol="β₂"
    )
    target_rate: float = number(
        0.9,
        0,
        1,
        "target acceptance rate",
        "λ falls while α is above this, and rises otherwise.",
        symbol="α*",
    )

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.acceptance_rate = 0.0

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if not self.adapt:
            return
        if drafted == 0:
            self.threshold -= self.epsilon * (dropped > 0)
            return
        self.acceptance_rate = self.beta1 * self.acceptance_rate + (1 - self.beta1) * accepted / drafted
        if drafted == self.max_draft:
            proposed = self.threshold
        elif self.acceptance_rate <= self.target_rate:
            proposed = self.threshold + self.epsilon
        else:
            proposed = self.threshold - self.epsilon
        self.threshold = self.beta2 * self.threshold + (1 - self.beta2) * proposed


@register_stopper
class AdaEDL(AdaptiveStopper):
    name = "adaedl"
    summary = "Stops where the entropy-based lower bound on acceptance, 1 − √(γ·H(q)), is below λ."
    source = "Agrawal et al., arXiv 2410.18351"
    compares = "bound"
    looks_at = ("entropy", "acceptance")

    threshold = AdaptiveStopper.threshold  # here too, to stand before γ in specs
    gamma: float = number(
        0.2,
        0,
        100,
        "entropy weight",
        "γ in the bound 1 − √(γ·H(q)), H in nats. A larger γ trusts the draft less.",
        symbol="γ",
        slider="gamma",
        slider_range=(0, 1),
    )

    def score_of(self, step: DraftStep) -> float:
        return acceptance_lower_bound(step.entropy, self.gamma)


@register_stopper
class MaxConfidence(AdaptiveStopper):
    name = "max_confidence"
    summary = "Stops where the draft's top probability is below λ, which adapts as AdaEDL's does."
    source = "Zhang et al. (Draft & Verify), arXiv 2309.08168"
    compares = "top probability"
    looks_at = ("top_prob", "acceptance")

    def score_of(self, step: DraftStep) -> float:
        return step.top_prob
