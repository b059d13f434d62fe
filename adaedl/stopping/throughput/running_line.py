"""A straight line through points that keep coming."""

from typing import NamedTuple


class RunningLine(NamedTuple):
    """The line of least squares through points (x, y), kept as five sums, in which older points count less.

    It is never changed: each method returns a new one, so that a copy of a stopper goes its own way.
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
            prior: the slope that is believed before the points say otherwise.
            prior_spread: the spread Σ (x − mean)² of the points at which both count alike.
        """
        spread = self.xx - self.x**2 / self.count
        covariance = self.xy - self.x * self.y / self.count
        return max(0.0, (covariance + prior_spread * prior) / (spread + prior_spread))
