"""Race several stoppers on one prompt and one device, each lane on its own clock.

The lane whose clock is furthest behind runs its next round, and its clock advances by that round's time
alone, so the lanes' relative positions are right at every moment. The prompt is prefilled once, and every
lane starts from a copy of the caches.
"""

import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import cast

from adaedl import __version__
from adaedl.decoding import decode, read_prompt
from adaedl.decoding.differences import explain_differences
from adaedl.errors import Sentence
from adaedl.metrics import RunningMetrics
from adaedl.pairs.pair import Pair
from adaedl.request import NOISE_VERSION, RaceRequest, Sampling, fresh_stopper
from adaedl.stopping import DEEPEST_DEFAULT
from adaedl.system.machine import out_of_memory_as
from adaedl.system.threads import threads_in_use
from adaedl.times import Times, fit_times
from adaedl.trace import Lane, PairInfo, Round, Trace, Verification


def new_trace(
    pair: Pair,
    prompt: str,
    lanes: list[str],
    sampling: Sampling,
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
) -> Trace:
    """Check the inputs of a race and return its trace, without rounds.

    Args:
        lanes: stopper specs, see `make_stopper`; the order is the order on screen.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """
    return empty_trace(pair, RaceRequest(prompt, lanes, sampling, max_new_tokens, seed, verification))


def empty_trace(pair: Pair, request: RaceRequest) -> Trace:
    """Return the trace of a race on this pair that has not begun.

    Raises:
        UserError: the pair's tokenizer cannot read the prompt.
    """
    return Trace(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={
            "adaedl": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers")},
        },
        device=pair.where,
        dtype=pair.dtype_name,
        threads=threads_in_use().count,
        pair=PairInfo(pair.name, pair.target_name, pair.draft_name, pair.weights, pair.tuned),
        prompt=request.prompt,
        prompt_tokens=len(pair.encode(request.prompt)),
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        sampling=request.sampling,
        verification=cast(Verification, request.verification),
        noise_version=NOISE_VERSION,
        lanes=[
            Lane(stopper.name, stopper.settings, spec.strip())
            for stopper, spec in zip(request.stoppers, request.lanes, strict=True)
        ],
        # Here, not in the race: the browser is sent the trace before the first round.
        expected_times=pair.times,
    )


def race(pair: Pair, trace: Trace, *, record: bool = True) -> Iterator[tuple[int, Round]]:
    """Run the race that a trace describes and fill the trace in. Yield (lane number, new round) after each
    round.

    Close the generator to stop; the rounds so far stay in the trace. Texts and metrics are up to date at
    every yield.

    Raises:
        UserError: the prompt and the answer do not fit the model's context, the device's memory is full, or a
            model's logits are NaN.
    """
    too_large = Sentence(
        "{} has too little free memory for this race; run fewer lanes, shorten the prompt or request fewer "
        "new tokens.",
        pair.device,
    )
    with out_of_memory_as(too_large):
        yield from _race(pair, trace, record)


def _race(pair: Pair, trace: Trace, record: bool) -> Iterator[tuple[int, Round]]:
    sampling = Sampling.of(trace.sampling)
    stoppers = [fresh_stopper(lane) for lane in trace.lanes]
    drafting = any(stopper.max_draft for stopper in stoppers)
    context = read_prompt(pair, pair.encode(trace.prompt), trace.max_new_tokens, drafting)
    metrics = RunningMetrics(trace)
    texts = [pair.text_stream() for _ in trace.lanes]
    for lane, text in zip(trace.lanes, texts, strict=True):
        lane.pieces = text.pieces
    running = {}
    try:
        for number, stopper in enumerate(stoppers):
            last = number == len(stoppers) - 1
            running[number] = decode(
                pair,
                None,
                stopper,
                sampling,
                max_new_tokens=trace.max_new_tokens,
                seed=trace.seed,
                verification=trace.verification,
                expected_times=trace.expected_times,
                context=context if last else context.copy(),
                record=record,
            )
        while running:
            number = min(running, key=lambda n: trace.lanes[n].clock_s)
            played = next(running[number], None)
            if played is None:
                del running[number]
                continue
            lane = trace.lanes[number]
            lane.rounds.append(played)
            lane.token_ids.extend(played.token_ids)
            texts[number].add(played.token_ids)
            lane.text = texts[number].text
            trace.token_bytes |= pair.token_bytes(played.shown_ids)
            metrics.add(number, played)
            metrics.update()
            yield number, played
        explain_differences(pair, trace)
        pair.times = times_of(trace) or pair.times
    finally:
        for generator in running.values():
            generator.close()
        for lane, text in zip(trace.lanes, texts, strict=True):
            text.finish()
            lane.text = text.text


def times_of(trace: Trace) -> Times | None:
    """Return what rounds took in a race, for up to as many drafts as the deepest default; None where none had
    drafts, or all had."""
    rounds = [played for lane in trace.lanes for played in lane.rounds]
    plain = [played for played in rounds if not played.drafted and not played.dropped]
    drafting = [played for played in rounds if played.drafted and not played.dropped]
    return fit_times(plain, drafting, DEEPEST_DEFAULT) if plain and drafting else None
