"""A stopper that estimates the probability that the whole draft is accepted: SpecDec++ without its head."""

from adaedl.stopping.adaptive import AdaEDL
from adaedl.stopping.base import DraftStep, ScoreStopper, acceptance_lower_bound
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number, switch


@register_stopper
class Survival(ScoreStopper):
    """Stops when the estimated probability that every draft of the round is accepted falls below λ.

    SpecDec++ treats the draft length as a Markov decision process and proves that the optimal policy has
    this form: verify once the probability that at least one draft is rejected exceeds a threshold. The
    default λ = 0.3 is 1 − 0.7, where 0.7 is the authors' `stop_threshold` (specdec_pp/sample.py in their
    repository, Kaffaljidhmah2/SpecDec_pp).

    Differences from SpecDec++: the acceptance probability of a draft does not come from a trained head but
    from q: its top probability, or AdaEDL's bound clamped to [0, 1]. A draft counts as soon as it is drafted;
    their head judges it one step later. A round may stop after one draft; their code drafts at least 2 and at
    most 20. Their optimal threshold follows from the costs of drafting and verifying; here, as in their code,
    it is a setting.
    """

    name = "survival"
    title = "Survival"
    lane_title = "Survival ≥ {threshold}"
    lane_detail = "stops when the chance that all drafts are accepted is below {threshold}"
    summary = "Stops when the estimated probability that the whole draft is accepted falls below λ."
    source = "Huang et al. (SpecDec++), arXiv 2405.19715, without its trained head"
    compares = "survival probability"
    looks_at = ("entropy", "top_prob")

    threshold: float = number(
        0.3,
        0,
        1,
        "threshold",
        "Drafting stops when the product of the round's scores is below λ.",
        symbol="λ",
        slider="lambda",
    )
    use_bound: bool = switch(
        False, "score by the bound", "Multiply AdaEDL's bounds; otherwise multiply the top probabilities."
    )
    gamma = AdaEDL.gamma

    product = 1.0  # of this round's scores

    def begin_round(self) -> bool:
        self.product = 1.0
        return True

    def score_of(self, step: DraftStep) -> float:
        bound = min(max(acceptance_lower_bound(step.entropy, self.gamma), 0.0), 1.0)
        self.product *= bound if self.use_bound else step.top_prob
        return self.product
