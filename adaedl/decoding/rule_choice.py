"""Choose the verification rule of a run."""

from adaedl.decoding.verification import MatchRule, Rule, SpeculativeRule, Uniforms
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.sampling import score_sampling


def make_rule(
    pair: Pair, sampling: Sampling, verification: str, seed: int, score_temperature: float | None
) -> Rule:
    """Return the verification rule of a run; `score_temperature` is its stopper's setting."""
    scoring = score_sampling(score_temperature, sampling)
    if sampling.greedy:
        return MatchRule(sampling, scoring, None, pair.read_draft, pair.choose)
    if verification == "speculative":
        return SpeculativeRule(sampling, scoring, Uniforms(seed, pair.device))
    noise = SharedNoise(seed, pair.target.vocab_size, pair.device)
    return MatchRule(sampling, scoring, noise, pair.read_draft, pair.choose)
