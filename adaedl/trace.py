"""A race as plain data, which is all that crosses from the engine to the page; read and written as JSON.

The page is a player over a `Trace`; during a race it follows a trace that is still growing. The schema is
`adaedl-trace/1`; unknown keys in a file are ignored.
"""

import json
from codecs import BOM_UTF8
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from adaedl.acceptance import Acceptance, DraftCount
from adaedl.draft_phase import StopReason
from adaedl.errors import Sentence, UserError
from adaedl.times import Times

SCHEMA = "adaedl-trace/1"
# Kinds of files, by the name in their schema.
KINDS = {
    "adaedl-trace": "trace",
    "adaedl-recording": "recording",
}
# The largest file that is read, and so the largest that is written. Twelve lanes of 512 tokens take about
# 15 MB at eight drafts per round. At twelve drafts, with none accepted, they would take 64 MB, which
# `Trace.fitting` halves.
MAX_TRACE_BYTES = 32 * 2**20
ROUNDING_S = 1e-6  # rounding error of the clocks in a file, in seconds


Verification = Literal["speculative", "shared_noise"]
EmittedKind = Literal["correction", "bonus", "plain"]
TopLists = Literal["all", "judged", "none"]
TOP_LISTS: tuple[TopLists, ...] = ("all", "judged", "none")  # from largest to smallest
# Why a lane's times are not reliable; `adaedl.timing` explains each.
TimingNote = Literal["one_token", "irregular", "beyond_block_efficiency", "baseline"]
TopToken = tuple[int, str, float]  # id, text, probability
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1.001)]  # float32 sums may end a little above 1
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
TokenBytes = dict[
    Annotated[str, Field(pattern="^[0-9]+$")], Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]
]


@dataclass
class DraftedToken:
    """One drafted token, with all the numbers that were known about it and what was decided.

    Attributes:
        entropy, top_prob: of q as the stopper saw it; entropy in nats.
        bound: the acceptance lower bound 1 − sqrt(γ·entropy).
        score, threshold: what the stopper compared; None if it compares nothing.
        q, p: the draft's and the target's probability of this token.
        beta: Σ min(p, q), the probability that speculative sampling accepts a draft from q here, and an upper
            bound on it under shared noise.
        u: the uniform number of the acceptance test; None if none was drawn.
        target_id, target_text: the target's own choice here, if the rule fixes one (shared noise and
            temperature 0).
        top_q, top_p: the ten most probable tokens of q and p; at temperature 0, where both are one-hot, of
            the models' softmax at temperature 1.

    p, beta, top_q and top_p are None or empty if the run was not recorded in detail.
    """

    id: Count
    text: str
    entropy: Annotated[float, Field(ge=0)]
    bound: Annotated[float, Field(le=1)]
    score: float | None
    threshold: float | None
    top_prob: Probability
    q: Probability
    p: Probability | None
    beta: Probability | None
    u: Share | None
    accepted: bool
    target_id: Count | None = None
    target_text: str | None = None
    top_q: list[TopToken] = field(default_factory=list)
    top_p: list[TopToken] = field(default_factory=list)


def emitted_kind(drafted: int, accepted: int) -> EmittedKind:
    """Return the kind of token that the target adds to a round, given its drafted and accepted tokens."""
    if drafted == 0:
        return "plain"
    return "bonus" if accepted == drafted else "correction"


@dataclass
class Emitted:
    """The token that the target itself adds at the end of a round.

    Attributes:
        p: the target's probability of it; `top_p` is as in `DraftedToken`.
        u: the uniform number that drew it under speculative sampling.
        top_residual: the ten most probable tokens of the normalised residual (p − q)+ that a correction was
            drawn from under that rule.
    """

    id: Count
    text: str
    kind: EmittedKind
    p: Probability | None = None
    top_p: list[TopToken] = field(default_factory=list)
    u: Share | None = None
    top_residual: list[TopToken] = field(default_factory=list)


@dataclass
class Round:
    """One draft phase and one verification. Times are seconds on the lane's own clock.

    Attributes:
        duration_s: time of the whole round: `draft_s` in the drafter's forwards, `verify_s` in the target's,
            and everything else.
        emitted: None only if an accepted draft ended the text.
        dropped: number of tokens that were drafted but neither verified nor listed in `drafted`: the token
            that triggered the stop, if the stopper does not keep it.
        ends_text: whether its last token ends the text; None in older traces, which do not store it.
    """

    start_s: Seconds
    duration_s: Seconds
    draft_s: Seconds
    verify_s: Seconds
    accepted: Count
    stop_reason: StopReason
    drafted: list[DraftedToken]
    emitted: Emitted | None
    dropped: Count = 0
    ends_text: bool | None = None

    @property
    def token_ids(self) -> list[int]:
        """The tokens that this round added to the text."""
        ids = [token.id for token in self.drafted[: self.accepted]]
        return ids if self.emitted is None else [*ids, self.emitted.id]

    @property
    def shown_ids(self) -> set[int]:
        """All tokens that appear in the round: drafted, emitted, chosen by the target or in a top list."""
        ids = {token.id for token in self.drafted}
        ids |= {token.target_id for token in self.drafted if token.target_id is not None}
        lists = [top for token in self.drafted for top in (token.top_q, token.top_p)]
        if self.emitted:
            ids.add(self.emitted.id)
            lists += [self.emitted.top_p, self.emitted.top_residual]
        return ids | {token for top in lists for token, *_ in top}

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s

    def to_json(self) -> str:
        return _as_json(_ROUND, self).decode()


@dataclass
class LaneMetrics:
    """A lane's metrics, computed and explained by `adaedl.metrics`."""

    tokens: Count
    tokens_per_s: float | None
    ms_per_token: float | None
    speedup: float | None
    acceptance_rate: float | None
    draft_length: float | None
    block_efficiency: float | None
    mean_beta: float | None
    cost_ratio: float | None
    draft_share: float | None
    verify_share: float | None
    wasted_share: float | None
    overhead_share: float | None
    same_text: bool | None
    timing_reliable: bool | None = None
    timing_note: TimingNote | None = None


@dataclass
class TextDifference:
    """The first difference between a lane's text and the autoregressive lane's, where the verification rule
    makes both the same.

    Attributes:
        position: number of equal tokens before the difference.
        ours, theirs: the lane's token there, and the autoregressive lane's.
        gap: difference between the target's scores of the two, see `adaedl.text_difference`; None if it could
            not be measured.
        rounding: whether rounding can move scores by that much.
    """

    position: Count
    ours: Count
    theirs: Count
    ours_text: str
    theirs_text: str
    gap: Annotated[float, Field(ge=0)] | None = None
    rounding: bool | None = None


@dataclass
class Lane:
    """One stopper's run in a race.

    `text` is the tokenizer's decode of `token_ids`, and `pieces` is what each token adds to it: nothing if
    the token only begins a character, the whole character if it completes one. `pieces` is empty in older
    traces, which do not store it. `text_difference` is None if there is no difference or the race was
    stopped. `name` is the name that a user gave the lane on the page; "" for the name from its stopper.
    `failure` says in one sentence how the stopper failed; "" if it did not.
    """

    stopper: str
    settings: dict[str, int | float | bool | str | None]
    label: str
    rounds: list[Round] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    metrics: LaneMetrics | None = None
    pieces: list[str] = field(default_factory=list)
    text_difference: TextDifference | None = None
    name: Annotated[str, Field(max_length=40)] = ""
    failure: Annotated[str, Field(max_length=2000)] = ""

    @property
    def clock_s(self) -> float:
        """Seconds on this lane's clock: the total duration of its own rounds."""
        return self.rounds[-1].end_s if self.rounds else 0.0


@dataclass
class PairInfo:
    name: str
    target: str
    draft: str
    weights: str
    tuned: str | None = None  # the spec of AdaEDL with settings tuned for this pair, if there is one


@dataclass(frozen=True, eq=False)
class SamplingInfo:
    """How tokens are sampled, as read from a file. Temperature 0 is argmax; `top_k` 0 and `top_p` 1 are off.

    `adaedl.request.Sampling` has the same fields, checked to be in the ranges that this program supports. The
    two classes compare by value, so that a trace that was written and read back equals the original."""

    temperature: Annotated[float, Field(ge=0)]
    top_k: Count
    top_p: Annotated[float, Field(gt=0, le=1)]

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def __eq__(self, other: object) -> bool:
        return astuple(self) == astuple(other) if isinstance(other, SamplingInfo) else NotImplemented

    def __hash__(self) -> int:
        return hash(astuple(self))


@dataclass
class Trace:
    """A race: the request, the machine and models, and what every lane did.

    Attributes:
        top_lists: which tokens have lists of the most probable tokens: all, those that the target judged (no
            drafts after a rejected one), or none; see `fitting`.
        token_bytes: the bytes, in hexadecimal, of each token that is not whole characters by itself and so
            has a text with �.
        system: the system prompt; empty if the chat template's own default was used.
        continuation: whether the prompt was read as the start of a text, without a chat template.
        threads: CPU threads in use; None in older traces, which do not store it.
        expected_times: times of rounds in this pair's last race or recording before this race, with the same
            verification rule and sampling if there was one, from which stoppers may start; None if there was
            none at all.
        expected_acceptance: how often drafts were accepted in this pair's races and recordings before this
            race, with the same verification rule and sampling; empty if there were none. Stoppers may start
            from it.
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
    verification: Verification
    lanes: list[Lane]
    noise_version: Count = 1  # see request.NOISE_VERSION; 1 in older traces, which do not store it
    schema: str = SCHEMA
    top_lists: TopLists = "all"
    token_bytes: TokenBytes = field(default_factory=dict)
    threads: Annotated[int, Field(ge=1)] | None = None
    expected_times: Times | None = None
    system: str = ""
    continuation: bool = False
    expected_acceptance: Acceptance = field(default_factory=list)

    def to_dict(self) -> dict:
        return asdict(self)

    def to_json(self) -> str:
        """Return this trace as JSON of at most MAX_TRACE_BYTES, see `fitting`."""
        return self.fitting_json()[1].decode()

    def _repr_html_(self) -> str:
        """Return the race's player in a frame, for notebooks."""
        from adaedl.html.page import frame_of, page_of

        stoppers = [lane.stopper for lane in self.lanes]
        return frame_of(page_of(self.to_json(), stoppers), self.prompt[:100])

    def fitting(self) -> "Trace":
        """Return this trace as `to_json` writes it: if its file would be larger than MAX_TRACE_BYTES, a copy
        without the top lists of drafts that were never judged or, if that is not enough, without any top
        lists. Every token, number and metric stays."""
        return self.fitting_json()[0]

    def fitting_json(self) -> tuple["Trace", bytes]:
        """Return the trace that `fitting` returns, and its JSON, which is needed to measure its size."""
        for top_lists in TOP_LISTS[TOP_LISTS.index(self.top_lists) :]:
            trace = self if top_lists == self.top_lists else self._with_top_lists(top_lists)
            content = _as_json(_TRACE, trace)
            if len(content) <= MAX_TRACE_BYTES:
                break
        return trace, content

    def _with_top_lists(self, which: TopLists) -> "Trace":
        lanes = [
            replace(lane, rounds=[_with_top_lists(round_, which) for round_ in lane.rounds])
            for lane in self.lanes
        ]
        return replace(self, lanes=lanes, top_lists=which)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Trace":
        """Read and check a trace.

        Raises:
            UserError: the file is too large, not JSON, or of another schema, or a field is wrong; the message
                names the field and what is wrong with it.
        """
        trace = read_checked(_TRACE, text, Sentence("trace"), SCHEMA)
        if not trace.lanes:
            raise UserError("This is not a valid trace: lanes: the list is empty.")
        for number, lane in enumerate(trace.lanes):
            clock_s = 0.0
            for index, round_ in enumerate(lane.rounds):
                if wrong := _contradiction(round_, clock_s):
                    raise UserError(
                        "This is not a valid trace: lanes.{}.rounds.{}: {}.", number, index, wrong
                    )
                clock_s = round_.end_s
            if lane.token_ids != [token for round_ in lane.rounds for token in round_.token_ids]:
                raise UserError(
                    "This is not a valid trace: lanes.{}.token_ids: they differ from the tokens of the "
                    "rounds.",
                    number,
                )
            if lane.pieces and not are_pieces(lane.pieces, lane.token_ids, lane.text):
                raise UserError(
                    "This is not a valid trace: lanes.{}.pieces: there must be one piece per token, and "
                    "together they must be the text.",
                    number,
                )
        return trace


def _as_json(form: TypeAdapter, value) -> bytes:
    try:
        return form.dump_json(value)
    except PydanticSerializationError:  # an unpaired surrogate, which has to be escaped
        return json.dumps(asdict(value), separators=(",", ":")).encode()


def _with_top_lists(round_: Round, which: TopLists) -> Round:
    """Return a copy of a round that keeps only the top lists of its judged tokens, or no top lists."""
    kept = round_.accepted + 1 if which == "judged" else 0
    bare = [replace(token, top_q=[], top_p=[]) for token in round_.drafted[kept:]]
    emitted = round_.emitted
    if emitted and not kept:
        emitted = replace(emitted, top_p=[], top_residual=[])
    return replace(round_, drafted=[*round_.drafted[:kept], *bare], emitted=emitted)


def are_pieces(pieces: list[str], token_ids: list[int], text: str) -> bool:
    """Return whether `pieces` can be what each token adds to the text."""
    return len(pieces) == len(token_ids) and "".join(pieces) == text


def _contradiction(round_: Round, clock_s: float) -> Sentence | None:
    """Return what is contradictory in a round, or None; the previous round ends at `clock_s`."""
    drafted, accepted, emitted = len(round_.drafted), round_.accepted, round_.emitted
    if accepted > drafted:
        return Sentence("{} tokens are accepted, but only {} were drafted", accepted, drafted)
    if [token.accepted for token in round_.drafted] != [index < accepted for index in range(drafted)]:
        return Sentence("the tokens marked as accepted do not match the number accepted")
    kind = emitted_kind(drafted, accepted)
    if emitted.kind != kind if emitted else not accepted:
        return Sentence("its emitted token must be a {}", kind)
    if abs(round_.start_s - clock_s) > ROUNDING_S + 1e-6 * clock_s:
        return Sentence("it must start when the previous round ends")
    if round_.draft_s + round_.verify_s > ROUNDING_S + (1 + 1e-6) * round_.duration_s:
        return Sentence("its forward passes take longer than the whole round")
    return None


def read_checked(form: TypeAdapter, text: str | bytes, noun: str, schema: str):
    """Read and check an object of type `form` from JSON.

    Args:
        noun: what users call this kind of file.
        schema: the schema that the file must name.

    Raises:
        UserError: the text is too large, not JSON, or of another schema, or a field is wrong; the message
            names the field and what is wrong with it.
    """
    if len(text) > MAX_TRACE_BYTES:
        raise UserError(
            "This file is {:.0f} MB; a {} may be at most {} MB.",
            len(text) / 2**20,
            noun,
            MAX_TRACE_BYTES // 2**20,
        )
    text = text.removeprefix(BOM_UTF8) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        value = form.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise UserError(
                "This file is not JSON, so it is not a {}; open a file saved by this program.", noun
            ) from None
        _check_schema(from_json(text), noun, schema)
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise UserError(
                "This is not a valid {}: it has no {}; open a file saved by this program.", noun, where
            ) from None
        raise UserError("This is not a valid {}: {}: {}.", noun, where, first["msg"]) from None
    _check_schema({"schema": value.schema}, noun, schema)
    return value


def _check_schema(content: object, noun: str, schema: str) -> None:
    """Raise UserError unless the content of a JSON file names the expected schema."""
    value = content.get("schema") if isinstance(content, dict) else None
    actual = value if isinstance(value, str) else ""
    kind = actual.partition("/")[0]
    if kind not in KINDS:
        raise UserError(
            "This file was not saved by this program, so it is not a {}; open one that was.", noun
        )
    if kind != schema.partition("/")[0]:
        raise UserError(
            "This file is a {}, not a {}; the Race page opens traces, and Explore opens recordings.",
            Sentence(KINDS[kind]),
            noun,
        )
    if actual != schema:
        raise UserError("This {} has the schema {!r}; this program reads {!r}.", noun, actual[:60], schema)


STRICT = ConfigDict(allow_inf_nan=False, strict=True, extra="ignore")
_PARTS = (DraftedToken, Emitted, Round, LaneMetrics, TextDifference, Lane, PairInfo, SamplingInfo)
for _part in (*_PARTS, Times, DraftCount, Trace):
    _part.__pydantic_config__ = STRICT  # type: ignore[union-attr]
_TRACE = TypeAdapter(Trace)
_ROUND = TypeAdapter(Round)
