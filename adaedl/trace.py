"""What crosses from the engine to the page: a race as plain data, JSON in and out.

The page is a player over a `Trace`; live, it follows one that still grows. The schema's name is
`adaedl-trace/1`; keys that it does not know are ignored when a file is opened.
"""

import json
from codecs import BOM_UTF8
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from adaedl.errors import Sentence, UserError

SCHEMA = "adaedl-trace/1"
# Of a file that is opened, and so of one that is written. Twelve lanes of 512 tokens take some 15 MB at eight
# drafts a round; at twelve, with none accepted, they would take 64 MB, which `Trace.fitting` halves.
MAX_TRACE_BYTES = 32 * 2**20
ROUNDING_S = 1e-6  # seconds, of the clocks in a file

TOP_LISTS = ("all", "judged", "none")  # from what is best to have to what is smallest

StopReason = Literal["threshold", "max_draft", "eos", "length"]
# Why a lane's times are not reliable; `adaedl.timing` says when which one is given.
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
    """One drafted token and everything that was known or decided about it.

    `entropy` (nats) and `top_prob` are of q as the stopper saw it, `bound` is 1 − sqrt(γ·entropy),
    `score` and `threshold` are the stopper's own (None where it compares nothing). `q` and `p` are the
    draft's and the target's probability of this token, `beta` is Σ min(p, q): the chance that speculative
    sampling accepts a draft from q here, and the most that it is under shared noise; `u` is the uniform
    number of the acceptance test (None where nothing was drawn).
    `target_id` and `target_text` are the target's choice here, where the rule fixes one (shared noise,
    temperature 0). `top_q` and `top_p` are the ten most probable tokens of q and p; at temperature 0,
    where both are points, of the models' own softmax (temperature 1) instead.
    p, beta, top_q and top_p are None or empty where the run was not recorded in detail.
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


@dataclass
class Emitted:
    """The token that the target itself adds at the end of a round.

    `p` is the target's probability of it and `top_p` as in `DraftedToken`. `u` is the uniform number it
    was drawn with under speculative sampling. `top_residual` holds the ten most probable tokens of the
    normalised residual (p − q)+ that a correction was drawn from under that rule.
    """

    id: Count
    text: str
    kind: Literal["correction", "bonus", "plain"]
    p: Probability | None = None
    top_p: list[TopToken] = field(default_factory=list)
    u: Share | None = None
    top_residual: list[TopToken] = field(default_factory=list)


@dataclass
class Round:
    """One draft phase and one verification. Times are seconds on the lane's own clock: the round takes
    `duration_s`, of it `draft_s` in the drafter's forwards and `verify_s` in the target's. `emitted` is
    None only where an accepted draft ended the text. `dropped` counts what was drafted besides `drafted` and
    not verified: the token in hand at the stop, where the stopper does not keep it."""

    start_s: Seconds
    duration_s: Seconds
    draft_s: Seconds
    verify_s: Seconds
    accepted: Count
    stop_reason: StopReason
    drafted: list[DraftedToken]
    emitted: Emitted | None
    dropped: Count = 0

    @property
    def token_ids(self) -> list[int]:
        """The tokens this round added to the text."""
        ids = [token.id for token in self.drafted[: self.accepted]]
        return ids if self.emitted is None else [*ids, self.emitted.id]

    @property
    def shown_ids(self) -> set[int]:
        """Every token that the round names: drafted, emitted, chosen by the target or among the likeliest."""
        ids = {token.id for token in self.drafted} | {token.target_id for token in self.drafted}
        lists = [top for token in self.drafted for top in (token.top_q, token.top_p)]
        if self.emitted:
            ids.add(self.emitted.id)
            lists += [self.emitted.top_p, self.emitted.top_residual]
        return (ids | {token for top in lists for token, *_ in top}) - {None}

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s

    def to_json(self) -> str:
        return _as_json(_ROUND, self).decode()


@dataclass
class LaneMetrics:
    """A lane's numbers; `adaedl.metrics` computes them and says what each is."""

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
    """Where a lane's text leaves the autoregressive lane's although the rule makes both the same: after
    `position` tokens, with the lane's own token `ours` in place of `theirs`. `gap` is how far the target's
    scores of the two are apart, and `rounding` whether rounding may move them by that much; None where it
    could not be measured. `adaedl.text_difference` says how."""

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

    `text` is the tokenizer's decode of `token_ids`, and `pieces` what each token adds to it: nothing where a
    token only begins a character, and the whole character where one completes it. `pieces` is empty in traces
    from before it was kept. `text_difference` is None too where the race was stopped.
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

    @property
    def clock_s(self) -> float:
        """Seconds this lane has run, its own rounds alone."""
        return self.rounds[-1].end_s if self.rounds else 0.0


@dataclass
class PairInfo:
    name: str
    target: str
    draft: str
    weights: str


@dataclass(frozen=True, eq=False)
class SamplingInfo:
    """How tokens are drawn, as a file says it. `temperature` 0 is argmax; `top_k` 0 and `top_p` 1 are off.

    `adaedl.request.Sampling` is one that this program runs; it equals what it reads back as."""

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
    """A race: what was asked, on what, and what every lane did.

    `top_lists` says of which tokens the most probable ones were kept: of all, of those that the target
    judged (and not of drafts after a rejected one), or of none; see `fitting`.

    `token_bytes` has the bytes, in hexadecimal, of those tokens it names that are not whole characters by
    themselves; their own texts read as � there.

    `threads` is how many the CPU worked on; None in traces from before it was kept.
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
    verification: Literal["speculative", "shared_noise"]
    lanes: list[Lane]
    noise_version: Count = 1  # see request.NOISE_VERSION; 1 where an older trace does not say
    schema: str = SCHEMA
    top_lists: Literal["all", "judged", "none"] = "all"
    token_bytes: TokenBytes = field(default_factory=dict)
    threads: Annotated[int, Field(ge=1)] | None = None

    def to_dict(self) -> dict:
        return asdict(self)

    def to_json(self) -> str:
        """This trace as a file of at most MAX_TRACE_BYTES, see `fitting`."""
        return self.fitting_json()[1].decode()

    def fitting(self) -> "Trace":
        """This trace as `to_json` writes it: where its file would be larger than MAX_TRACE_BYTES, a copy that
        leaves out what is needed least, the most probable tokens of drafts that were never judged or, where
        that is not enough, of all. Every token, number and metric stays."""
        return self.fitting_json()[0]

    def fitting_json(self) -> tuple["Trace", bytes]:
        """The trace that `fitting` gives and its JSON, which measuring it has made already."""
        for top_lists in TOP_LISTS[TOP_LISTS.index(self.top_lists) :]:
            trace = self if top_lists == self.top_lists else self._with_top_lists(top_lists)
            content = _as_json(_TRACE, trace)
            if len(content) <= MAX_TRACE_BYTES:
                break
        return trace, content

    def _with_top_lists(self, which: str) -> "Trace":
        lanes = [
            replace(lane, rounds=[_with_top_lists(played, which) for played in lane.rounds])
            for lane in self.lanes
        ]
        return replace(self, lanes=lanes, top_lists=which)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Trace":
        """Read and check a trace.

        Raises:
            UserError: it is too large, not JSON, of another schema, or a field is wrong (which one, and
                what is wrong with it, is in the message).
        """
        trace = read_checked(_TRACE, text, "trace", SCHEMA)
        if not trace.lanes:
            raise UserError("This is not a valid trace: lanes: there are none.")
        for number, lane in enumerate(trace.lanes):
            clock_s = 0.0
            for index, played in enumerate(lane.rounds):
                if wrong := _contradiction(played, clock_s):
                    raise UserError(
                        "This is not a valid trace: lanes.{}.rounds.{}: {}.", number, index, wrong
                    )
                clock_s = played.end_s
            if lane.token_ids != [token for played in lane.rounds for token in played.token_ids]:
                raise UserError(
                    "This is not a valid trace: lanes.{}.token_ids: not the tokens of its rounds.", number
                )
            if lane.pieces and not are_pieces(lane.pieces, lane.token_ids, lane.text):
                raise UserError(
                    "This is not a valid trace: lanes.{}.pieces: not its text, in a piece for each token.",
                    number,
                )
        return trace


def _as_json(form: TypeAdapter, value) -> bytes:
    try:
        return form.dump_json(value)
    except PydanticSerializationError:  # half a character somewhere, which JSON can only spell out
        return json.dumps(asdict(value), separators=(",", ":")).encode()


def _with_top_lists(played: Round, which: str) -> Round:
    """A copy of a round with the top lists of its judged tokens alone, or of none."""
    kept = played.accepted + 1 if which == "judged" else 0
    bare = [replace(token, top_q=[], top_p=[]) for token in played.drafted[kept:]]
    emitted = played.emitted
    if emitted and not kept:
        emitted = replace(emitted, top_p=[], top_residual=[])
    return replace(played, drafted=[*played.drafted[:kept], *bare], emitted=emitted)


def are_pieces(pieces: list[str], token_ids: list[int], text: str) -> bool:
    """Whether pieces are what each of these tokens adds to this text."""
    return len(pieces) == len(token_ids) and "".join(pieces) == text


def _contradiction(played: Round, clock_s: float) -> Sentence | None:
    """What in a round cannot be, where the rounds before it end at `clock_s`."""
    drafted, accepted, emitted = len(played.drafted), played.accepted, played.emitted
    if accepted > drafted:
        return Sentence("{} of {} drafted tokens are accepted", accepted, drafted)
    if [token.accepted for token in played.drafted] != [index < accepted for index in range(drafted)]:
        return Sentence("which drafted tokens are accepted is not what their number says")
    kind = "plain" if not drafted else "bonus" if accepted == drafted else "correction"
    if emitted.kind != kind if emitted else not accepted:
        return Sentence("its emitted token must be a {}", kind)
    if abs(played.start_s - clock_s) > ROUNDING_S + 1e-6 * clock_s:
        return Sentence("it must begin where the one before it ends")
    if played.draft_s + played.verify_s > ROUNDING_S + (1 + 1e-6) * played.duration_s:
        return Sentence("its forwards take longer than all of it")
    return None


def read_checked(form: TypeAdapter, text: str | bytes, noun: str, schema: str):
    """The object of a form in a JSON text; `noun` is what a user calls it, `schema` what it must name.

    Raises:
        UserError: it is too large, not JSON, of another schema, or a field is wrong (which one, and what is
            wrong with it, is in the message).
    """
    if len(text) > MAX_TRACE_BYTES:
        raise UserError(
            "This file has {:.0f} MB; a {} has at most {} MB.",
            len(text) / 2**20,
            noun,
            MAX_TRACE_BYTES // 2**20,
        )
    text = text.removeprefix(BOM_UTF8 if isinstance(text, bytes) else "\ufeff")
    try:
        found = form.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise UserError(
                "This file is not JSON, so it is not a {}; open a file that this program saved.", noun
            ) from None
        where = ".".join(str(part) for part in first["loc"])
        raise UserError("This is not a valid {}: {}: {}.", noun, where or "the file", first["msg"]) from None
    if found.schema != schema:
        raise UserError(
            "This {} has the schema {!r}; this program reads {!r}.", noun, found.schema[:60], schema
        )
    return found


STRICT = ConfigDict(allow_inf_nan=False, strict=True, extra="ignore")
for _part in (DraftedToken, Emitted, Round, LaneMetrics, TextDifference, Lane, PairInfo, SamplingInfo, Trace):
    _part.__pydantic_config__ = STRICT
_TRACE = TypeAdapter(Trace)
_ROUND = TypeAdapter(Round)
