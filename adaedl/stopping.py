"""When to stop drafting: one small class a rule, and the registry that names them.

A stopper sees the draft side alone, so no rule in this file can change what the target writes: it
only decides how many drafts the target is asked to verify at once. The token in hand when a stopper
says stop is kept and verified, because its draft is already paid for; `keep_last=false` drops it.
"""

import difflib
import inspect
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from adaedl.errors import Sentence, UserError

DEFAULT_MAX_DRAFT = 12
MAX_DRAFT_LIMIT = 64
FIRST_COST = 0.1  # of a draft, in tokens, before the first was timed


@dataclass(frozen=True)
class DraftStep:
    """The draft side of one drafted token: entropy of q in nats, its top probability, the margin of
    the top over the second, q(token), and the position in the round (1 for the first)."""

    entropy: float
    top_prob: float
    margin: float
    token_prob: float
    position: int


def acceptance_lower_bound(entropy: float, gamma: float = 0.2) -> float:
    """AdaEDL's estimate 1 − sqrt(γ·H(q)) of a lower bound on β (arXiv 2410.18351, eq. 3); entropy in nats."""
    return 1 - math.sqrt(gamma * max(entropy, 0.0))


class Stopper:
    """Base of all stoppers: drafts `max_draft` tokens a round.

    Attributes:
        score, threshold: what the last decision compared; it stops where score < threshold. Both are
            None for a rule that compares nothing.
        score_temperature: the temperature at which q is scored; None for the sampling temperature, or
            1 where that is 0 or top-k is 1 (q is a point then, and its entropy says nothing).
        keep_last: whether the token in hand at the stop is verified too. Dropping it is exact only for
            a rule that looks at q alone, not at which token was drawn (`token_prob`).
    """

    name: str
    summary: str
    source: str
    replay_only = False  # whether it knows what only a recording can tell
    judges_q = False  # whether what it is told of q decides where it stops
    gamma = 0.2  # AdaEDL's, to draw the acceptance lower bound of any stopper

    def __init__(
        self,
        max_draft: int = DEFAULT_MAX_DRAFT,
        keep_last: bool = True,
        score_temperature: float | None = None,
    ):
        self.max_draft = _whole(self, "max_draft", max_draft, 1, MAX_DRAFT_LIMIT)
        self.keep_last = _switch(self, "keep_last", keep_last)
        self.score_temperature = (
            None
            if score_temperature is None
            else _number(self, "score_temperature", score_temperature, 0.01, 10)
        )
        self.score: float | None = None
        self.threshold: float | None = None

    def begin_round(self) -> bool:
        """Called before the first draft of a round; says whether to draft in it at all."""
        return True

    def should_stop(self, step: DraftStep) -> bool:
        """Called after each drafted token. Sets `score` and `threshold` where the rule has them."""
        return False

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        """Called after verification with the round's numbers of verified drafts, of those accepted, and of
        drafts dropped unverified: 1 where the stop's own token was not kept."""

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        """Called after `observe` with the tokens that the round wrote, and the seconds that verification and
        the whole round took."""

    @property
    def settings(self) -> dict:
        """The settings this stopper was made with, by name; they rebuild it."""
        return {name: getattr(self, name) for name in setting_names(type(self))}


class Autoregressive(Stopper):
    name = "autoregressive"
    summary = "No drafting: the target alone, one token a forward pass. The baseline of every speedup."
    source = "—"

    def __init__(self):
        super().__init__()
        self.max_draft = 0


class Fixed(Stopper):
    name = "fixed"
    summary = "Always drafts k tokens."
    source = "Leviathan et al., arXiv 2211.17192"

    def __init__(self, k: int = 4):
        super().__init__(max_draft=_whole(self, "k", k, 1, MAX_DRAFT_LIMIT))
        self.k = self.max_draft


class ScoreStopper(Stopper):
    """Stops where a score of the draft's distribution falls under a threshold."""

    judges_q = True

    @abstractmethod
    def score_of(self, step: DraftStep) -> float:
        """The number that is held against the threshold."""

    def should_stop(self, step: DraftStep) -> bool:
        self.score = self.score_of(step)
        return self.score < self.threshold


class AdaptiveStopper(ScoreStopper):
    """A score stopper whose threshold follows the measured acceptance rate, by the rule of
    Draft & Verify (Zhang et al., arXiv 2309.08168, section 3.3), unless `adapt` is false.

    The rule expects at least one verified draft a round. Without `keep_last` a round may drop its only draft:
    then it measures no acceptance, and a rule that learned nothing from it would stop at every such token for
    ever, paying for a draft each time. Such a round lowers the threshold by `epsilon`: nothing was measured
    that speaks for stopping, and verifying the draft would have cost next to nothing more. It is the whole
    `epsilon`, because `beta2` smooths the noise of measured rates and here there is none.
    """

    def __init__(
        self,
        threshold: float,
        adapt: bool = True,
        epsilon: float = 0.01,
        beta1: float = 0.5,
        beta2: float = 0.9,
        target_rate: float = 0.9,
        **common,
    ):
        super().__init__(**common)
        self.threshold = self.initial_threshold = _number(self, "threshold", threshold, -10, 1)
        self.adapt = _switch(self, "adapt", adapt)
        self.epsilon = _number(self, "epsilon", epsilon, 0, 1)
        self.beta1 = _number(self, "beta1", beta1, 0, 1)
        self.beta2 = _number(self, "beta2", beta2, 0, 1)
        self.target_rate = _number(self, "target_rate", target_rate, 0, 1)
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

    @property
    def settings(self) -> dict:
        return {**super().settings, "threshold": self.initial_threshold}


class AdaEDL(AdaptiveStopper):
    name = "adaedl"
    summary = "Stops where the entropy-based lower bound on acceptance, 1 − √(γ·H(q)), is below λ."
    source = "Agrawal et al., arXiv 2410.18351"

    def __init__(self, threshold: float = 0.4, gamma: float = 0.2, **adaptive):
        super().__init__(threshold, **adaptive)
        self.gamma = _number(self, "gamma", gamma, 0, 100)

    def score_of(self, step: DraftStep) -> float:
        return acceptance_lower_bound(step.entropy, self.gamma)


class MaxConfidence(AdaptiveStopper):
    name = "max_confidence"
    summary = "Stops where the draft's top probability is below λ, which adapts as AdaEDL's does."
    source = "Zhang et al. (Draft & Verify), arXiv 2309.08168"

    def __init__(self, threshold: float = 0.4, **adaptive):
        super().__init__(threshold, **adaptive)

    def score_of(self, step: DraftStep) -> float:
        return step.top_prob


class SVIP(ScoreStopper):
    name = "svip"
    summary = "Stops where √(c·H(q)) exceeds h: score 1 − √(c·H(q)), fixed threshold 1 − h."
    source = "Zhang et al., arXiv 2411.18462, with the authors' released c and h"

    def __init__(self, h: float = 0.3, c: float = 0.15, **common):
        super().__init__(**common)
        self.h = _number(self, "h", h, 0, 10)
        self.c = _number(self, "c", c, 0, 100)
        self.threshold = 1 - self.h

    def score_of(self, step: DraftStep) -> float:
        return acceptance_lower_bound(step.entropy, self.c)


class Margin(ScoreStopper):
    name = "margin"
    summary = "Stops where the top probability leads the second by less than the threshold."
    source = "margin sampling (Scheffer et al., 2001), as a stopping rule"

    def __init__(self, threshold: float = 0.2, **common):
        super().__init__(**common)
        self.threshold = _number(self, "threshold", threshold, 0, 1)

    def score_of(self, step: DraftStep) -> float:
        return step.margin


class Heuristic(Stopper):
    name = "heuristic"
    summary = "Two tokens more after a full acceptance, one fewer otherwise."
    source = "transformers, num_assistant_tokens_schedule='heuristic'"

    def __init__(self, k: int = 5, max_draft: int = DEFAULT_MAX_DRAFT):
        super().__init__(max_draft)  # the last token is always kept, for nothing is said against it
        self.k = _whole(self, "k", k, 1, MAX_DRAFT_LIMIT)
        self.length = self.k

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if drafted == 0:
            return
        longer = min(self.length + 2, self.max_draft)
        self.length = longer if accepted == drafted else max(1, self.length - 1)


class Confidence(ScoreStopper):
    name = "confidence"
    summary = "Stops where the probability of the drafted token itself is below the threshold."
    source = "transformers, assistant_confidence_threshold"

    def __init__(self, threshold: float = 0.4, **common):
        super().__init__(**common)
        if not self.keep_last:
            raise UserError(
                "confidence: keep_last is False; it must be true, because this rule judges the drawn token "
                "itself: dropping it for what it is would bias the text."
            )
        self.threshold = _number(self, "threshold", threshold, 0, 1)

    def score_of(self, step: DraftStep) -> float:
        return step.token_prob


class Bandit(Stopper):
    """TapOut's sequence-level bandit: each round is drafted by one of several training-free rules, chosen
    by UCB1 from what each has brought so far.

    As in the paper: one choice a round; UCB1, mean reward + √(2·ln t / n) (Auer et al., 2002), each arm once
    first; the reward blends the accepted length and the acceptance rate,
    α·accepted/max_draft + (1 − α)·accepted/drafted, with α = 0.5. Not as in the paper: the arms are this
    registry's rules, which judge entropy, top probability and margin, each with its published threshold,
    frozen, so that an arm has no state and its rewards are those of one rule; the paper's arm of differences
    of entropies (SVIP-Difference) is not among them; and every text starts afresh, where the paper learns
    over a whole set of prompts.
    """

    name = "bandit"
    summary = "Picks AdaEDL, top probability, SVIP or margin each round by UCB1, from what each has brought."
    source = "Sridhar et al. (TapOut), arXiv 2511.02017"
    judges_q = True

    def __init__(self, blend: float = 0.5, **common):
        super().__init__(**common)
        self.blend = _number(self, "blend", blend, 0, 1)
        self.arms = (AdaEDL(adapt=False), MaxConfidence(adapt=False), SVIP(), Margin())
        self.plays = (0,) * len(self.arms)
        self.rewards = (0.0,) * len(self.arms)

    @property
    def arm(self) -> int:
        """The arm of this round: the first that was never played, else that of the highest bound."""
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


class Throughput(Stopper):
    """Drafts on while one more token is expected to bring more text than its time would at the present speed.
    There is no threshold to set; docs/throughput.md derives the rule.

    The score is the gain of one more draft in expected tokens: the probability that all drafts in hand are
    accepted, times the share of drafts accepted so far. For a draft in hand that probability is AdaEDL's
    lower bound (arXiv 2410.18351), calibrated twice: by the share of what the bound gives up that was really
    rejected, and by the share accepted among earlier drafts of like bounds. The threshold is the cost in
    tokens: how much longer a round with one draft more takes, as measured so far, times the tokens per
    second so far. A round whose first draft would not be worth it drafts none.

    Without `keep_last` a round may drop its only draft, which is then paid for and brings nothing. That says
    nothing about acceptance, so the calibration ignores it. But it counts against the first draft of a round,
    as a draft that was not accepted: where most first drafts are dropped, rounds come to draft none.
    """

    name = "throughput"
    summary = "Drafts on while one more token is expected to bring more than its time would at this speed."
    source = "ours, docs/throughput.md"
    judges_q = True
    BINS = 6  # of the bound from 0 to 1
    PRIOR = 20.0  # drafts that a bin begins with, and what is rejected
    REJECTED = 0.7  # of what a bound gives up, to begin with
    ALL_PRIOR = 10.0  # drafts that the share of all begins with
    ACCEPTED = 0.6  # of all, to begin with
    MEMORY = 0.98  # of every sum, kept each round
    FIRST = 8  # rounds, that draft in any case
    RETRY = 16  # rounds, of which one drafts in any case

    def __init__(self, gamma: float = 0.2, **common):
        super().__init__(**common)
        self.gamma = _number(self, "gamma", gamma, 0, 100)
        self.drafts = self.accepted = (0.0,) * self.BINS  # verified so far, by bin of the bound
        self.dropped = 0.0  # first drafts, with nothing verified in their round
        self.given_up = 0.0  # of acceptance, by the bounds of those drafts
        self.bounds: tuple[float, ...] = ()  # of this round's drafts
        self.certainty = 1.0  # that all of them are accepted
        self.tried = self.rested = 0  # rounds that drafted, and rounds without since the last of those
        self.costs = Costs()
        self.threshold = self.costs.of_one_more  # which changes from round to round alone

    def begin_round(self) -> bool:
        self.bounds, self.certainty, self.threshold = (), 1.0, self.costs.of_one_more
        worth_it = self._gain(self.dropped) >= self.costs.of_the_first
        drafts = worth_it or self.tried < self.FIRST or self.rested + 1 == self.RETRY
        self.tried, self.rested = self.tried + drafts, 0 if drafts else self.rested + 1
        return drafts

    def should_stop(self, step: DraftStep) -> bool:
        bound = min(max(acceptance_lower_bound(step.entropy, self.gamma), 0.0), 1.0)
        self.bounds += (bound,)
        self.certainty *= self._acceptance(bound)
        self.score = self._gain()
        return self.score < self.threshold

    def _acceptance(self, bound: float) -> float:
        """The probability that a draft of this bound is accepted."""
        rejected = sum(self.drafts) - sum(self.accepted)
        share = (rejected + self.PRIOR * self.REJECTED) / (self.given_up + self.PRIOR)
        expected = max(0.0, 1 - share * (1 - bound))
        here = self._bin(bound)
        return (self.accepted[here] + self.PRIOR * expected) / (self.drafts[here] + self.PRIOR)

    def _bin(self, bound: float) -> int:
        return min(int(bound * self.BINS), self.BINS - 1)

    def _gain(self, dropped: float = 0.0) -> float:
        """Tokens that one more draft is expected to bring; `dropped` drafts count as not accepted."""
        accepted = sum(self.accepted) + self.ALL_PRIOR * self.ACCEPTED
        return self.certainty * accepted / (sum(self.drafts) + dropped + self.ALL_PRIOR)

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if not drafted:  # nothing new of acceptance, and nothing to forget
            if dropped:
                self.dropped = self.MEMORY * self.dropped + 1
            return
        self.dropped *= self.MEMORY
        # The drafts after the first rejected one were not judged.
        bounds = self.bounds[: min(accepted + 1, drafted)]
        self.given_up = self.MEMORY * self.given_up + sum(1 - bound for bound in bounds)
        judged = [self._bin(bound) for bound in bounds]
        taken = judged[:accepted]
        self.drafts = tuple(self.MEMORY * n + judged.count(b) for b, n in enumerate(self.drafts))
        self.accepted = tuple(self.MEMORY * n + taken.count(b) for b, n in enumerate(self.accepted))

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        steps = len(self.bounds)
        drafting_s = duration_s - verify_s if steps else 0.0
        new = Costs(
            rounds=1,
            drafting_rounds=steps > 0,
            steps=steps,
            steps_squared=steps**2,
            tokens=tokens,
            seconds=duration_s,
            drafting_s=drafting_s,
            steps_drafting_s=steps * drafting_s,
            verify_s=verify_s,
            steps_verify_s=steps * verify_s,
        )
        sums = zip(self.costs, new, strict=True)
        self.costs = Costs(*(self.MEMORY * so_far + now for so_far, now in sums))


class Costs(NamedTuple):
    """Sums over the rounds so far of what tells the cost of a draft, in tokens that are written at the speed
    so far in the time that it takes."""

    rounds: float = 0.0
    drafting_rounds: float = 0.0
    steps: float = 0.0  # of drafting
    steps_squared: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    drafting_s: float = 0.0  # all but verification, of rounds that drafted
    steps_drafting_s: float = 0.0
    verify_s: float = 0.0
    steps_verify_s: float = 0.0

    EVEN = 5.0  # spread of the drafts a round, with which a slope is half believed

    @property
    def of_the_first(self) -> float:
        """Of the first draft of a round, which bears what a round costs that drafts at all."""
        return self._tokens(self._mean_s + self._verifying_s) if self.steps else FIRST_COST

    @property
    def of_one_more(self) -> float:
        """Of a draft that follows another."""
        if not self.steps:
            return FIRST_COST
        drafting_s = self._slope(self.drafting_rounds, self.drafting_s, self.steps_drafting_s, self._mean_s)
        return self._tokens(min(drafting_s, self._mean_s) + self._verifying_s)

    @property
    def _mean_s(self) -> float:
        return self.drafting_s / self.steps

    @property
    def _verifying_s(self) -> float:
        """Of verifying one token more."""
        return self._slope(self.rounds, self.verify_s, self.steps_verify_s, 0.0)

    def _slope(self, rounds: float, seconds: float, steps_seconds: float, before: float) -> float:
        """Of the line of least squares through (drafts, seconds) of so many rounds, never below 0; `before`
        is what it is taken for until their lengths differ."""
        spread = self.steps_squared - self.steps**2 / rounds
        together = steps_seconds - self.steps * seconds / rounds
        return max(0.0, (together + self.EVEN * before) / (spread + self.EVEN))

    def _tokens(self, seconds: float) -> float:
        return seconds * self.tokens / self.seconds


class Oracle(Stopper):
    """Drafts what will be accepted and not a token more, so that no draft is wasted: the ceiling for every
    rule where a draft costs less than the target's step that it saves. Only a recording knows that number;
    a replay sets `acceptable` before each round."""

    name = "oracle"
    summary = "Drafts exactly what will be accepted: the ceiling. It knows the text, so it is replay only."
    source = "—"
    replay_only = True

    def __init__(self, max_draft: int = DEFAULT_MAX_DRAFT):
        super().__init__(max_draft=max_draft)
        self.acceptable = 0

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.acceptable


STOPPERS: dict[str, type[Stopper]] = {
    stopper.name: stopper
    for stopper in (
        Autoregressive,
        Fixed,
        AdaEDL,
        MaxConfidence,
        SVIP,
        Margin,
        Heuristic,
        Confidence,
        Bandit,
        Throughput,
        Oracle,
    )
}
# Those that can run: what menus offer, and what `check` measures.
LIVE_STOPPERS = {name: stopper for name, stopper in STOPPERS.items() if not stopper.replay_only}


def check_live(stopper: Stopper) -> None:
    """Raises UserError where a stopper needs a recording, so that it cannot run live."""
    if stopper.replay_only:
        raise UserError(
            "{} knows what the target will accept, so it can only be replayed from a "
            "recording; choose one of {}.",
            stopper.name,
            ", ".join(LIVE_STOPPERS),
        )


def setting_names(stopper: type[Stopper]) -> dict[str, object]:
    """The settings a stopper takes, each with its default (inspect.Parameter.empty where a class
    higher up has none), own settings first."""
    names: dict[str, object] = {}
    for cls in stopper.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name != "self":
                names.setdefault(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def make_stopper(spec: str) -> Stopper:
    """A fresh stopper from `name` or `name:key=value,key=value`, such as `fixed:k=5` or
    `adaedl:threshold=0.4,gamma=0.2,adapt=false`.

    Raises:
        UserError: an unknown name, setting or value; the message lists what there is.
    """
    name, _, rest = spec.strip().partition(":")
    name = name.strip()
    if name not in STOPPERS:
        close = difflib.get_close_matches(name, STOPPERS, 1)
        hint = Sentence(" Did you mean {}?", close[0]) if close else ""
        raise UserError("There is no stopper {!r}; there are {}.{}", name, ", ".join(STOPPERS), hint)
    known = setting_names(STOPPERS[name])
    settings = {}
    for item in filter(None, (item.strip() for item in rest.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or key not in known:
            takes = ", ".join(known) or Sentence("no settings")
            raise UserError(
                "{} does not know the setting {!r}; it takes {}, as key=value.", name, item, takes
            )
        if key in settings:
            raise UserError("{} is given {} twice, in {!r}; once is enough.", name, key, spec)
        settings[key] = _parse(value)
    return STOPPERS[name](**settings)


def format_spec(stopper: Stopper) -> str:
    """The shortest spec that rebuilds this stopper: the inverse of `make_stopper`."""
    defaults = setting_names(type(stopper))
    changed = {k: v for k, v in stopper.settings.items() if v != defaults[k]}
    values = ",".join(
        f"{k}={str(v).lower() if isinstance(v, bool | None) else v}" for k, v in changed.items()
    )
    return f"{stopper.name}:{values}" if values else stopper.name


def split_specs(text: str) -> list[str]:
    """`a,b:x=1,y=2,c` → [`a`, `b:x=1,y=2`, `c`]: a comma followed by key=value continues a spec."""
    specs: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if specs and "=" in part and ":" not in part:
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return specs


def _parse(text: str):
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(stopper: Stopper, key: str, value, low: float, high: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise UserError(
            "{}: {} is {!r}; it must be a number from {} to {}.", stopper.name, key, value, low, high
        )
    return float(value)


def _whole(stopper: Stopper, key: str, value, low: int, high: int) -> int:
    if int(_number(stopper, key, value, low, high)) != value:
        raise UserError(
            "{}: {} is {!r}; it must be a whole number from {} to {}.", stopper.name, key, value, low, high
        )
    return int(value)


def _switch(stopper: Stopper, key: str, value) -> bool:
    if not isinstance(value, bool):
        raise UserError("{}: {} is {!r}; it must be true or false.", stopper.name, key, value)
    return value
