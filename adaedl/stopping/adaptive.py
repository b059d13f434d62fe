"""Stoppers that adapt their threshold to the measured acceptance rate: AdaEDL and maximum confidence."""

from typing import Any

from adaedl.stopping.base import DraftStep, ScoreStopper, acceptance_lower_bound
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number, switch


class AdaptiveStopper(ScoreStopper):
    """A score stopper that adapts its threshold by the rule of Draft & Verify (Zhang et al., arXiv
    2309.08168, section 3.3), unless `adapt` is false.

    The rule expects at least one verified draft per round. Without `keep_last`, a round may drop its only
    draft, so that there is no acceptance rate to measure. If the threshold then stayed the same, every later
    round would stop at such a token too and waste a draft. So a round that drops its only draft lowers the
    threshold by `epsilon`: no measurement supports stopping, and verifying the draft would have cost almost
    nothing. It is the full `epsilon`, because `beta2` only smooths noise in measured rates.
    """

    threshold: float = number(
        0.4,
        -10,
        1,
        "threshold",
        "Drafting stops when the score is below λ. If λ adapts, this is its starting value.",
        symbol="λ",
        slider="lambda",
        slider_range=(0, 1),
    )
    adapt: bool = switch(
        True, "λ adapts", "After each round, λ follows the measured acceptance rate.", slider="adapt"
    )
    epsilon: float = number(
        0.01,
        0,
        1,
        "step size of the threshold",
        "How much one round may change λ before smoothing.",
        symbol="ε",
    )
    beta1: float = number(
        0.5,
        0,
        1,
        "smoothing of the acceptance rate",
        "Weight of earlier rounds in the acceptance rate α.",
        symbol="s₁",
    )
    beta2: float = number(
        0.9, 0, 1, "smoothing of the threshold", "Weight of the old λ in the new one.", symbol="s₂"
    )
    target_rate: float = number(
        0.9,
        0,
        1,
        "target acceptance rate",
        "λ falls while the acceptance rate α is above this, and rises otherwise.",
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
    title = "AdaEDL"
    lane_detail = "stops when the bound is below {threshold}"
    summary = "Stops when the entropy-based lower bound on acceptance, 1 − √(γ·H(q)), falls below λ."
    source = "Agrawal et al., arXiv 2410.18351"
    compares = "bound"
    looks_at = ("entropy", "acceptance")

    threshold = AdaptiveStopper.threshold  # repeated here so that it precedes γ in specs
    gamma: float = number(
        0.2,
        0,
        100,
        "entropy weight",
        "γ in the bound 1 − √(γ·H(q)), with the entropy H in nats. A larger γ trusts the draft less.",
        symbol="γ",
        slider="gamma",
        slider_range=(0, 1),
    )

    def score_of(self, step: DraftStep) -> float:
        return acceptance_lower_bound(step.entropy, self.gamma)


@register_stopper
class MaxConfidence(AdaptiveStopper):
    name = "max_confidence"
    title = "Top probability"
    lane_detail = "stops when the top probability is below {threshold}"
    summary = "Stops when the draft's top probability falls below λ, which adapts as in AdaEDL."
    source = "Zhang et al. (Draft & Verify), arXiv 2309.08168"
    compares = "top probability"
    looks_at = ("top_prob", "acceptance")

    def score_of(self, step: DraftStep) -> float:
        return step.top_prob
