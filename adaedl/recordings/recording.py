"""A recording: the target's text, and what the drafter would have drafted from each of its positions.

At temperature 0 and under shared noise a recording determines real runs. Neither the target's text nor the
drafts depend on the stopper. At the start of a round the drafter's cache holds only verified text: for an
independent drafter its own keys and values, for a feature drafter keys and values computed from the target's
features, which replace the drafter's own output once a draft is verified. So the drafter's continuations from
every position determine every round of every stopper, and `adaedl.recordings.replay` replays any stopper
exactly, without a model.

Under speculative sampling the text depends on the stopper, and a recording samples from the distribution of
runs. The target wrote its text without drafts, and its chains are drawn given that text
(`adaedl.recordings.chains.Coupling`). For any stopper that sees only the draft side, the text, rounds,
drafts, accepted counts and stop reasons of a replay have the same joint distribution as in a run with
`decode(verification="speculative")`.

A recording of real runs cannot know about rounding: a float32 sum in another order differs in its last
digits, and if a choice depends on them, a real run may choose differently. `gap` and `target_gap` say how far
each choice was from that, and `adaedl.recordings.replay.near_ties` counts the choices that are too close to
call.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import Field, TypeAdapter

from adaedl.acceptance import Acceptance
from adaedl.errors import Sentence, UserError
from adaedl.stopping import MAX_DRAFT_LIMIT, DraftStep
from adaedl.times import Times
from adaedl.trace import (
    STRICT,
    Count,
    PairInfo,
    Probability,
    SamplingInfo,
    Seconds,
    TokenBytes,
    Verification,
    are_pieces,
    read_checked,
)

SCHEMA = "adaedl-recording/1"


@dataclass
class Chain:
    """The drafter's continuation from one position of the text, with statistics of each draft.

    All lists have one entry per draft, except `p` and `beta`, which end with the first draft that differs
    from the target's token: later drafts are conditioned on a text that was never written. `q` is the draft's
    probability under the sampling distribution. `entropy` (nats), `top_prob`, `margin` and `token_prob` are
    computed from q at the recording's score temperature. `gap` is the lead of the drafted token over the
    second best in log-probability plus noise (in logits at temperature 0), and empty under speculative
    sampling. `p` is the target's probability of the draft, and `beta` the acceptance probability
    Σ min(p, q) at its position.
    """

    ids: list[Count]
    q: list[Probability]
    entropy: list[Seconds]
    top_prob: list[Probability]
    margin: list[Probability]
    token_prob: list[Probability]
    gap: list[Seconds]
    p: list[Probability]
    beta: list[Probability]

    @cached_property
    def steps(self) -> list[DraftStep]:
        """What a stopper sees of each draft."""
        numbers = zip(self.entropy, self.top_prob, self.margin, self.token_prob, strict=True)
        return [DraftStep(*values, position) for position, values in enumerate(numbers, 1)]


@dataclass
class Recording:
    """A text and the drafter's chains from each of its positions, as plain data for JSON.

    Attributes:
        depth: maximum number of drafts in a chain; a chain is shorter at the end of the text and if a draft
            ends the text.
        score_temperature: the `score_temperature` setting of the stoppers that this recording can replay.
        verification: the verification rule of replays.
        token_ids: the target's text. `target_p` holds the probability of each token, and `target_gap` its
            lead over the second best, like `gap` in a chain.
        system, continuation: as in a trace.
        texts: the text of every token that occurs, decoded by itself.
        pieces, token_bytes: what each token adds to the text, and the bytes of tokens that are not whole
            characters, as in `adaedl.trace`; empty in older recordings, which do not store them.
        chains: one for each token of the text, with the drafts in its place and after it.
        times: the times of rounds, measured in real rounds of this run.
        plain_s, recording_s: the seconds that the target alone took for the text, and that the whole
            recording took.
        probed, probed_alike: the number of real rounds that were run with varying draft lengths while
            recording, and how many of them, counted from the first, a replay reproduces: all, unless one
            depends on rounding. Under speculative sampling they belong to another text, and the second number
            is 0.
        expected_acceptance: how often drafts were accepted before this recording, as in a trace.
    """

    created: str
    versions: dict[str, str]
    device: str
    dtype: str
    pair: PairInfo
    prompt: str
    prompt_tokens: Count
    max_new_tokens: Count
    seed: int
    sampling: SamplingInfo
    depth: Count
    score_temperature: Annotated[float, Field(gt=0)] | None
    token_ids: list[Count]
    target_p: list[Probability]
    target_gap: list[Seconds]
    eos_ids: list[Count]
    text: str
    texts: dict[int, str]
    chains: list[Chain]
    times: Times
    plain_s: Seconds
    recording_s: Seconds
    probed: Count = 0
    probed_alike: Count = 0
    noise_version: Count = 1  # as in a trace
    verification: Verification = "shared_noise"  # the rule of all older recordings
    schema: str = SCHEMA
    pieces: list[str] = field(default_factory=list)
    token_bytes: TokenBytes = field(default_factory=dict)
    system: str = ""
    continuation: bool = False
    expected_acceptance: Acceptance = field(default_factory=list)

    @cached_property
    def acceptable(self) -> list[int]:
        """For each chain the number of drafts that the target accepts: the leading drafts that equal the
        text."""
        counts = []
        for position, chain in enumerate(self.chains):
            pairs = zip(chain.ids, self.token_ids[position:], strict=False)
            compared = min(len(chain.ids), len(self.token_ids) - position)
            counts.append(next((n for n, (ours, theirs) in enumerate(pairs) if ours != theirs), compared))
        return counts

    @property
    def replays_runs(self) -> bool:
        """Whether a replay equals the run of `decode()` with this seed; otherwise it only has the same
        distribution."""
        return self.verification == "shared_noise" or self.sampling.temperature == 0

    @property
    def tie(self) -> float:
        """The lead in logits below which rounding may reverse a choice with this dtype."""
        return 1e-3 if self.dtype == "float32" else 0.25

    def to_json(self) -> str:
        return _RECORDING.dump_json(self).decode()

    @property
    def judged_drafts(self) -> Iterator[tuple[float, bool]]:
        """Yield the entropy of each draft, from every position, that the target would judge, and whether it
        would be accepted."""
        for chain, acceptable in zip(self.chains, self.acceptable, strict=True):
            for index, entropy in enumerate(chain.entropy[: len(chain.beta)]):
                yield entropy, index < acceptable

    @classmethod
    def from_json(cls, text: str | bytes) -> "Recording":
        """Read and check a recording.

        Raises:
            UserError: it is too large, not JSON, or of another schema, or a field is wrong; the message says
                which one.
        """
        recording = read_checked(_RECORDING, text, Sentence("recording"), SCHEMA)
        wrong = next(recording._wrong_fields(), None)
        if wrong:
            raise UserError("This is not a valid recording: {}.", wrong)
        return recording

    def _wrong_fields(self) -> Iterator[str]:
        tokens = len(self.token_ids)
        if not 1 <= tokens <= self.max_new_tokens:
            yield f"token_ids: {tokens} tokens of {self.max_new_tokens}"
        gaps = tokens if self.replays_runs else 0
        for name, entries in (("target_p", tokens), ("target_gap", gaps), ("chains", tokens)):
            if len(getattr(self, name)) != entries:
                yield f"{name}: {len(getattr(self, name))} entries for {tokens} tokens"
                return
        if not 1 <= self.depth <= MAX_DRAFT_LIMIT:
            yield f"depth: {self.depth}; it must be from 1 to {MAX_DRAFT_LIMIT}"
        if tokens < self.max_new_tokens and self.token_ids[-1] not in self.eos_ids:
            yield f"token_ids: {tokens} tokens of {self.max_new_tokens}, but the last does not end the text"
        if len(self.times.verify_s) != self.depth + 1 or not all(self.times.verify_s):
            yield "times.verify_s: a time is missing"
        if self.pieces and not are_pieces(self.pieces, self.token_ids, self.text):
            yield "pieces: there must be one piece per token, and together they must be the text"
        for token in self.token_ids:
            if token not in self.texts:
                yield f"texts: none for token {token}"
        for position, chain in enumerate(self.chains):
            expected = min(self.depth, self.max_new_tokens - position - 1)
            ended = bool(chain.ids) and chain.ids[-1] in self.eos_ids
            if len(chain.ids) > expected or (len(chain.ids) < expected and not ended):
                yield f"chains.{position}.ids: {len(chain.ids)} drafts instead of {expected}"
            for name in ("q", "entropy", "top_prob", "margin", "token_prob", "gap"):
                entries = len(chain.ids) if self.replays_runs or name != "gap" else 0
                if len(getattr(chain, name)) != entries:
                    yield f"chains.{position}.{name}: {len(getattr(chain, name))} entries"
            reached = min(self.acceptable[position] + 1, len(chain.ids), tokens - position)
            for name in ("p", "beta"):
                if len(getattr(chain, name)) != reached:
                    yield f"chains.{position}.{name}: {len(getattr(chain, name))} entries, not {reached}"
            for token in chain.ids:
                if token not in self.texts:
                    yield f"texts: none for token {token}"


for _part in (Chain, Recording):
    _part.__pydantic_config__ = STRICT  # type: ignore[union-attr]
_RECORDING = TypeAdapter(Recording)
