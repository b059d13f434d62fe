"""A least-squares line through a stream of points."""

from typing import NamedTuple


class RunningLine(NamedTuple):
    """The least-squares line through points (x, y), kept as five sums in which older points count less.

    It is immutable: each method returns a new line, so that copies of a stopper do not share state.
    """

    count: float = 0.0  # type: ignore[assignment]  # Σ 1; a tuple has a method of that name
    x: float = 0.0  # Σ x
    xx: float = 0.0  # Σ x²
    y: float = 0.0  # Σ y
    xy: float = 0.0  # Σ x·y

    def fade(self, decay: float) -> "RunningLine":
        """Return the line with every earlier point counting `decay` times as much."""
        return RunningLine(*(decay * total for total in self))

    def add(self, x: float, y: float) -> "RunningLine":
        """Return the line with one more point."""
        return RunningLine(self.count + 1, self.x + x, self.xx + x**2, self.y + y, self.xy + x * y)

    def slope(self, prior: float, prior_spread: float) -> float:
        """Return the slope, in y per x, shrunk towards `prior` and never below 0.

        Args:
            prior: the slope without any points.
            prior_spread: the spread Σ (x − mean)² at which the points count as much as the prior.
        """
        spread = self.xx - self.x**2 / self.count
        covariance = self.xy - self.x * self.y / self.count
        return max(0.0, (covariance + prior_spread * prior) / (spread + prior_spread))
