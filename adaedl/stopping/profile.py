"""A stopper that profiles itself: the draft length with the most tokens per second, as Ollama finds it."""

from typing import Any

from adaedl.stopping.base import DraftStep, Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import longest_draft, whole

# All as in Ollama. Weight of the newest outcome in a position's acceptance rate, and of the newest time in a
# length's cost. One time moves a cost by at most this share of it, so that a stall of the machine changes
# little.
ACCEPTANCE_WEIGHT = 0.1
COST_WEIGHT = 0.3
COST_CLAMP = 0.25
# Rounds from one probe to the next. They double while probes change nothing.
FIRST_INTERVAL = 4
LAST_INTERVAL = 512


@register_stopper
class Profile(Stopper):
    """Drafts the length n that maximises the expected tokens of a round over its time,
    (1 + Σ a₁·…·aᵢ for i up to n) / cost(n), n = 0 included.

    aᵢ is the acceptance rate of position i where all before it were accepted, a moving average over the
    rounds that reached it; cost(n) the moving average of the seconds that rounds of n drafts took,
    interpolated between the lengths that were measured. A position counts once `trusted` rounds have
    reached it, and has the rate of the last one that counts before, or 1 where none does. The search goes
    one position beyond those that count, and a length without a measured time is drafted once first, the
    shortest first, so the length grows as fast as acceptance is measured. Every 4 rounds a probe drafts one
    token more than the best length, also where that is 0; the interval doubles up to 512 while probes
    change nothing, and a new best length sets it back to 4. So drafting is retried after at most 512
    rounds. From x/mlxrunner/speculate_depth.go of Ollama, with its constants.

    Different here: every text starts afresh, where Ollama keeps what it measured from request to request, and
    a text of 100 tokens is over before it has climbed far; every round's time counts, where Ollama leaves
    out those whose length differs from the round before; and Ollama does not count the positions after a
    draft that ends the text.
    """

    name = "profile"
    summary = "Drafts the length with the most tokens per second by measured acceptance and times, or none."
    source = "Ollama's MLX engine, x/mlxrunner/speculate_depth.go"
    stops_because = "its draft length is {} now"
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
        self.costs: tuple[float | None, ...] = (None,) * (self.max_draft + 1)  # seconds, by drafts of a round
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
        for position in range(min(accepted + 1, self.drafted)):  # the later ones were not judged
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
            most = COST_CLAMP * old
            cost = old + COST_WEIGHT * min(max(duration_s - old, -most), most)
        self.costs = (*self.costs[: self.drafted], cost, *self.costs[self.drafted + 1 :])

    @property
    def limit(self) -> int:
        """The longest draft to consider: one position beyond those that count."""
        counting = next((n for n, times in enumerate(self.reached) if times < self.trusted), self.max_draft)
        return min(counting + 1, self.max_draft)

    @property
    def best_length(self) -> int:
        """The length with the most expected tokens per second; 0 until two lengths were timed."""
        if sum(cost is not None for cost in self.costs) < 2:
            return 0
        return max(range(self.limit + 1), key=lambda n: self.expected_tokens(n) / self.cost(n))

    def expected_tokens(self, length: int) -> float:
        """Return the tokens that a round of this draft length is expected to write."""
        rate = survival = total = 1.0
        for position in range(length):
            if self.reached[position] >= self.trusted:
                rate = self.rates[position]
            survival *= rate
            total += survival
        return total

    def cost(self, length: int) -> float:
        """Return the seconds of a round of this draft length, between the nearest lengths that were timed."""
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
