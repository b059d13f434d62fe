"""The work that a bench counts for every system, ours or another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DecodingWork:
    """The work of decoding one or more texts, without the prefill.

    Attributes:
        tokens: new tokens.
        seconds: their duration.
        forward_s: the part of `seconds` in forward passes of the models; None if not measured.
        rounds: forward passes of the target.
        drafted, accepted: drafted tokens, and the accepted ones among them.
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
        """The speed; None without tokens."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None
