"""Your own stopping rule in 20 lines, raced against AdaEDL.

python examples/own_stopper.py
"""

import adaedl
from adaedl.stopping import DraftStep, ScoreStopper, number


@adaedl.register_stopper
class SurePrefix(ScoreStopper):
    """Stops when the draft of a round is unlikely: the product of its top probabilities is below λ."""

    name = "sure_prefix"
    summary = "Stops when the product of the round's top probabilities is below λ."
    compares = "joint top probability"
    looks_at = ("top_prob",)

    threshold: float = number(
        0.3, 0, 1, "threshold", "Drafting stops when the product is below λ.", symbol="λ"
    )

    def begin_round(self) -> bool:
        self.joint = 1.0
        return True  # draft in this round

    def score_of(self, step: DraftStep) -> float:
        self.joint *= step.top_prob
        return self.joint


if __name__ == "__main__":
    lanes = ["autoregressive", "adaedl", "sure_prefix", "sure_prefix:threshold=0.6"]
    trace = adaedl.race(adaedl.load_pair(), "Why is the sky blue?", lanes=lanes, max_new_tokens=48)
    table = adaedl.to_frame(trace)[["lane", "speedup", "acceptance_rate", "draft_length"]]
    print(table.round(2).to_string(index=False))
