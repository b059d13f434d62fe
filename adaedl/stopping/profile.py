"""A stopper that measures which draft length gives the most tokens per second, as Ollama does."""

from typing import Any

from adaedl.stopping.base import DraftStep, Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import longest_draft, whole

# All constants are Ollama's.
ACCEPTANCE_WEIGHT = 0.1  # of the newest outcome, in the acceptance rate of a position
COST_WEIGHT = 0.3  # of the newest duration, in the cost of a draft length
COST_CLAMP = 0.25  # a duration counts as at most this fraction off the cost, so that a stall changes little
# Rounds between probes; doubled while probes change nothing.
FIRST_INTERVAL = 4
LAST_INTERVAL = 512


@register_stopper
class Profile(Stopper):
    """Drafts the length n ≥ 0 that maximises the expected tokens of a round over its duration,
    (1 + Σ a₁·…·aᵢ for i up to n) / cost(n).

    aᵢ is the acceptance rate of position i given that all earlier drafts were accepted, a moving average over
    the rounds that reached it. cost(n) is the moving average of the durations of rounds with n drafts,
    interpolated between measured lengths. A position counts once `trusted` rounds have reached it; until then
    it has the rate of the last earlier position that counts, or 1 if there is none. The search goes one
    position beyond the positions that count. A length without a measured duration is drafted once first,
    shortest first, so the length grows as fast as acceptance is measured. Every 4 rounds a probe drafts one
    token more than the best length, even if that is 0; the interval doubles up to 512 while probes change
    nothing, and a new best length resets it to 4. So drafting is retried after at most 512 rounds. From
    x/mlxrunner/speculate_depth.go in Ollama, with its constants.

    Differences from Ollama: every text starts from scratch, while Ollama keeps its measurements from request
    to request, so a text of 100 tokens ends before the length has grown far. The duration of every round
    counts; Ollama ignores rounds of another length than the round before. Ollama does not count the positions
    after a draft that ends the text.
    """

    name = "profile"
    title = "Profile"
    lane_detail = "drafts the length that was fastest so far"
    summary = "Drafts the length (0 included) with the most tokens per second by measured rates and times."
    source = "Ollama's MLX engine, x/mlxrunner/speculate_depth.go"
    stops_because = "current draft length is {}"
    looks_at = ("acceptance", "times")

    trusted: int = whole(
        10,
        1,
        1000,
        "rounds before a position counts",
        "Rounds that must reach a position before its acceptance rate counts.",
    )
    max_draft: int = longest_draft(slider="max_draft")

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.rates = (0.0,) * self.max_draft  # of acceptance, by position
        self.reached = (0,) * self.max_draft  # how often, by position
        self.costs: tuple[float | None, ...] = (None,) * (self.max_draft + 1)  # seconds, by draft length
        self.length = self.drafted = 0
        self.interval, self.waited = FIRST_INTERVAL, 0
        self.last_best = 0
        self.probed = False

    def begin_round(self) -> bool:
        self.length = self._next_length()
        return self.length > 0

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        self.drafted = min(drafted, self.max_draft)
        rates, reached = list(self.rates), list(self.reached)
        for position in range(min(accepted + 1, self.drafted)):  # later drafts were not judged
            outcome = float(position < accepted)
            weight = ACCEPTANCE_WEIGHT if reached[position] else 1.0
            rates[position] += weight * (outcome - rates[position])
            reached[position] += 1
        self.rates, self.reached = tuple(rates), tuple(reached)

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        if duration_s <= 0:
            return
        old = self.costs[self.drafted]
        cost = duration_s
        if old is not None:
            limit = COST_CLAMP * old
            cost = old + COST_WEIGHT * min(max(duration_s - old, -limit), limit)
        self.costs = (*self.costs[: self.drafted], cost, *self.costs[self.drafted + 1 :])

    @property
    def limit(self) -> int:
        """The longest draft to consider: one position beyond the positions that count."""
        counting = next((n for n, times in enumerate(self.reached) if times < self.trusted), self.max_draft)
        return min(counting + 1, self.max_draft)

    @property
    def best_length(self) -> int:
        """The length with the most expected tokens per second; 0 until two lengths are timed."""
        if sum(cost is not None for cost in self.costs) < 2:
            return 0
        return max(range(self.limit + 1), key=lambda n: self.expected_tokens(n) / self.cost(n))

    def expected_tokens(self, length: int) -> float:
        """Return the expected number of tokens that a round of this draft length writes."""
        rate = survival = total = 1.0
        for position in range(length):
            if self.reached[position] >= self.trusted:
                rate = self.rates[position]
            survival *= rate
            total += survival
        return total

    def cost(self, length: int) -> float:
        """Return the duration in seconds of a round of this draft length, interpolated between the nearest
        timed lengths."""
        timed = [(n, cost) for n, cost in enumerate(self.costs) if cost is not None]
        shorter = [each for each in timed if each[0] <= length] or timed[:1]
        longer = [each for each in timed if each[0] >= length] or timed[-1:]
        (low, low_s), (high, high_s) = shorter[-1], longer[0]
        if high <= low:
            return low_s
        return low_s + (length - low) / (high - low) * (high_s - low_s)

    def _next_length(self) -> int:
        best = self.best_length
        if best != self.last_best:
            self.interval, self.waited, self.last_best = FIRST_INTERVAL, 0, best
        elif self.probed:
            self.interval = min(2 * self.interval, LAST_INTERVAL)
        self.probed = False
        self.waited += 1
        if self.waited >= self.interval:
            self.waited = 0
            if best < self.limit:
                self.probed = True
                return best + 1
        untimed = (n for n in range(self.limit + 1) if self.costs[n] is None)
        return next(untimed, best)
