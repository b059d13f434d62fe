"""The work that a bench counts for any system that writes tokens, ours or another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DecodingWork:
    """The work of decoding one text or several, prefill excluded.

    Attributes:
        tokens: tokens written.
        seconds: time it took to write them.
        forward_s: time of that in the models' forward passes; None where they were not timed.
        rounds: forward passes of the target.
        drafted, accepted: tokens drafted, and of those accepted.
    """

    tokens: int = 0
    seconds: float = 0.0
    forward_s: float | None = 0.0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0

    def add(self, other: DecodingWork) -> None:
        self.tokens += other.tokens
        self.seconds += other.seconds
        if self.forward_s is not None and other.forward_s is not None:
            self.forward_s += other.forward_s
        else:
            self.forward_s = None
        self.rounds += other.rounds
        self.drafted += other.drafted
        self.accepted += other.accepted

    @property
    def tokens_per_s(self) -> float | None:
        """The speed; None where nothing was written."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None
