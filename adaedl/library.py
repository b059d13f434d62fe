"""The functions of `import adaedl`: race, decode, record and replay, each in one call.

They check every argument first, then call the modules that the page and the command line use too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

from adaedl.errors import Parameter, UserError
from adaedl.request import DEFAULT_LANES, RaceRequest, Sampling
from adaedl.stopping import STOPPERS, Stopper, format_spec, split_specs
from adaedl.trace import Lane, Round, Trace

if TYPE_CHECKING:  # slow to import
    from collections.abc import Generator

    from adaedl.pairs.pair import Pair
    from adaedl.recordings.recording import Recording

LaneSpec = str | Stopper  # "fixed:k=4", or an instance with these settings
OnRound = Callable[[Lane, Round], object]


def race(
    pair: Pair,
    prompt: str,
    *,
    lanes: Sequence[LaneSpec] | str | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    sampling: Sampling | None = None,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
    system: str = "",
    continuation: bool = False,
    on_round: OnRound | None = None,
) -> Trace:
    """Race several stoppers on one prompt and return the trace, with each lane's rounds, text and metrics.

    Args:
        pair: a loaded pair, from `load_pair`.
        prompt: the prompt; the pair's chat template is applied to it, if there is one.
        lanes: one stopper per lane, each a spec such as "fixed:k=4" or an instance with the settings to use;
            or one string such as "autoregressive,fixed:k=4,adaedl". By default: the target alone, a fixed
            draft length, and AdaEDL, as published and as tuned for this pair. Speedups need "autoregressive".
        temperature: sampling temperature, 0 for greedy decoding; 0.7 by default.
        top_k, top_p: sample only from the k most probable tokens (0: off), and only from the smallest set of
            tokens whose total probability reaches top_p (1: off).
        sampling: a `Sampling`, instead of the three arguments above.
        max_new_tokens: maximum length of each lane's text, in tokens; an end-of-sequence token ends it
            earlier.
        seed: seed of the random numbers, see `verification`.
        verification: "shared_noise": every lane writes the same text, which depends only on prompt and seed;
            or "speculative": speculative sampling, as in the paper.
        system: a system prompt for the chat template.
        continuation: read the prompt as the start of a text, without a chat template.
        on_round: called after each round with the lane, whose text and metrics are up to date, and the new
            round. It can raise StopIteration to end the race; the trace keeps the rounds so far.

    If a custom stopper fails, only its own lane ends, and `lane.failure` gives the reason in one sentence.

    Raises:
        UserError: an argument is invalid, the prompt does not fit the models' context, or memory runs out. It
            is a ValueError whose message is one sentence.
    """
    pair = _checked_pair(pair)
    request = RaceRequest(
        prompt,
        _default_lanes(pair) if lanes is None else _specs_of(lanes),
        _sampling(sampling, temperature, top_k, top_p),
        _as_int(max_new_tokens),
        _as_int(seed),
        verification,
        system,
        continuation,
    )
    return _run(pair, request, on_round)


def decode(
    pair: Pair,
    prompt: str,
    *,
    stopper: LaneSpec = "adaedl",
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    sampling: Sampling | None = None,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
    system: str = "",
    continuation: bool = False,
    on_round: OnRound | None = None,
) -> Lane:
    """Write an answer with one stopper and return its lane: `lane.text`, `lane.token_ids`, `lane.rounds` and
    `lane.metrics`.

    The text is distributed exactly as the target's own, whatever the stopper. Unlike in `race`, the rounds do
    not hold p, β and the most probable tokens, which are computed only for display.

    Args:
        stopper: a spec such as "adaedl:threshold=0.4", or an instance with the settings to use.
        others: as in `race`.

    Raises:
        UserError: as in `race`, or the stopper fails.
    """
    pair = _checked_pair(pair)
    request = RaceRequest(
        prompt,
        [_spec_of(stopper, "stopper")],
        _sampling(sampling, temperature, top_k, top_p),
        _as_int(max_new_tokens),
        _as_int(seed),
        verification,
        system,
        continuation,
    )
    return _whole_lane(_run(pair, request, on_round, details=False).lanes[0])


def record(
    pair: Pair,
    prompt: str,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    sampling: Sampling | None = None,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
    depth: int = 16,
    score_temperature: float | None = None,
    system: str = "",
    continuation: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Recording:
    """Record the target's text after a prompt, and what the drafter would draft from each of its positions,
    so that `replay` can run any stopper on it in milliseconds, without the models.

    Args:
        depth: drafts recorded from each position, 1 to 64; stoppers that draft further cannot be replayed.
        score_temperature: the `score_temperature` setting of the stoppers to replay.
        progress: called with the fraction done, from 0 to 1.
        others: as in `race`.

    Raises:
        UserError: as in `race`.
    """
    from adaedl.recordings import recorder

    chosen = _sampling(sampling, temperature, top_k, top_p)
    return recorder.record(
        _checked_pair(pair),
        prompt,
        chosen,
        max_new_tokens=_as_int(max_new_tokens),
        seed=_as_int(seed),
        verification=verification,
        depth=_as_int(depth),
        score_temperature=_as_number(score_temperature),
        system=system,
        continuation=continuation,
        progress=_checked_function("progress", progress) or (lambda share: None),
    )


def replay(recording: Recording, stopper: LaneSpec = "adaedl", *, cost_ratio: float | None = None) -> Lane:
    """Replay a stopper on a recorded text and return its lane, with metrics.

    Under shared noise and at temperature 0, the rounds are the same as in a real run; under speculative
    sampling they have the same distribution. Times, and so the speedup over the target alone, are modelled
    from times measured while recording.

    Args:
        recording: from `record`, or `Recording.from_json`.
        stopper: a spec or an instance, as in `decode`; "oracle" works too.
        cost_ratio: time of a draft step / time of a target step, from 0 to 10; by default the measured ratio.

    Raises:
        UserError: an argument is invalid, the recording lacks what the stopper needs, or the stopper fails.
    """
    from adaedl.recordings.recording import Recording
    from adaedl.recordings.replay import replay_trace

    if not isinstance(recording, Recording):
        raise UserError(
            "{} is {!r:.60}; it must be a recording, from adaedl.record or Recording.from_json.",
            Parameter("recording"),
            recording,
        )
    times = None if cost_ratio is None else recording.times.with_cost_ratio(_checked_ratio(cost_ratio))
    return _whole_lane(
        replay_trace(recording, ["autoregressive", _spec_of(stopper, "stopper")], times).lanes[1]
    )


def _run(pair: Pair, request: RaceRequest, on_round: OnRound | None, details: bool = True) -> Trace:
    """Run a race until it ends or `on_round` stops it."""
    from adaedl import racing

    on_round = _checked_function("on_round", on_round)
    trace = racing.empty_trace(pair, request)
    running = cast("Generator[tuple[int, Round], None, None]", racing.race(pair, trace, record=details))
    with closing(running) as rounds:
        for number, round_ in rounds:
            try:
                if on_round:
                    on_round(trace.lanes[number], round_)
            except StopIteration:
                break
    return trace


def _whole_lane(lane: Lane) -> Lane:
    if lane.failure:
        raise UserError("{}", lane.failure)
    return lane


def _checked_pair(pair: object) -> Pair:
    from adaedl.pairs.pair import Pair

    if not isinstance(pair, Pair):
        raise UserError(
            "{} is {!r:.60}; it must be a loaded pair, such as adaedl.load_pair().", Parameter("pair"), pair
        )
    return pair


def _checked_function(name: str, function: Any) -> Any:
    if function is not None and not callable(function):
        raise UserError("{} is {!r:.60}; it must be a function or None.", Parameter(name), function)
    return function


def _checked_ratio(value: object) -> float:
    ratio = _as_number(value)
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 <= ratio <= 10:
        raise UserError(
            "{} is {!r:.60}; it must be from 0 to 10, such as 0.05.", Parameter("cost_ratio"), value
        )
    return float(ratio)


def _default_lanes(pair: Pair) -> list[str]:
    return [*DEFAULT_LANES, *([pair.tuned] if pair.tuned else [])]


def _specs_of(lanes: object) -> list[str]:
    if isinstance(lanes, str):
        return split_specs(lanes)
    if not isinstance(lanes, Sequence):
        raise UserError(
            "{} is {!r:.60}; it must be a list of stoppers, such as ['autoregressive', 'adaedl'].",
            Parameter("lanes"),
            lanes,
        )
    return [_spec_of(lane, "lanes") for lane in lanes]


def _spec_of(stopper: object, name: str) -> str:
    """Return the spec of a stopper, which may be a spec already or an instance."""
    if isinstance(stopper, str):
        return stopper
    if not isinstance(stopper, Stopper):
        raise UserError(
            "{} has {!r:.60}; a stopper is a spec, such as 'adaedl:threshold=0.4', or an instance.",
            Parameter(name),
            stopper,
        )
    if STOPPERS.get(getattr(stopper, "name", "")) is not type(stopper):
        raise UserError(
            "The stopper {} is not registered; decorate its class with @adaedl.register_stopper.",
            type(stopper).__name__,
        )
    return format_spec(stopper)


def _sampling(
    sampling: object, temperature: float | None, top_k: int | None, top_p: float | None
) -> Sampling:
    values = {"temperature": _as_number(temperature), "top_k": _as_number(top_k), "top_p": _as_number(top_p)}
    values = {name: value for name, value in values.items() if value is not None}
    if sampling is None:
        return Sampling(**values)
    if not isinstance(sampling, Sampling):
        raise UserError(
            "{} is {!r:.60}; it must be an adaedl.Sampling, such as adaedl.Sampling(temperature=0.7).",
            Parameter("sampling"),
            sampling,
        )
    if values:
        raise UserError(
            "{} and {} are both given; put one into the other, as in adaedl.Sampling(temperature=0.7, "
            "top_k=40).",
            Parameter("sampling"),
            Parameter(next(iter(values))),
        )
    return sampling


def _as_int(value: Any) -> Any:
    """Return an integer of any library as an int, since JSON takes no other; anything else unchanged."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _as_number(value: Any) -> Any:
    """Return a number of any library as an int or float; anything else unchanged."""
    value = _as_int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value
