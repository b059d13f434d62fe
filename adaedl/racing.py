"""Race several stoppers on one prompt and one device, each lane on its own clock.

The lane whose clock is furthest behind runs the next round, and its clock advances only by that round's
duration, so the lanes' relative positions are right at every moment. The prompt is prefilled once, and every
lane starts from a copy of the caches.
"""

import logging
import platform
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import cast

from adaedl.decoding import decode, read_prompt
from adaedl.decoding.differences import explain_differences
from adaedl.errors import Sentence
from adaedl.metrics import RunningMetrics
from adaedl.pairs.pair import Pair
from adaedl.request import NOISE_VERSION, RaceRequest, Sampling, fresh_stopper
from adaedl.stopping import DEEPEST_DEFAULT, Stopper, StopperFault
from adaedl.system.machine import out_of_memory_as
from adaedl.system.threads import threads_in_use
from adaedl.times import Times, fit_times
from adaedl.trace import Lane, PairInfo, Round, Trace, Verification
from adaedl.version import __version__


def new_trace(
    pair: Pair,
    prompt: str,
    lanes: list[str],
    sampling: Sampling,
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
    verification: str = "shared_noise",
    system: str = "",
    continuation: bool = False,
) -> Trace:
    """Check the inputs of a race and return its trace, without rounds.

    Args:
        lanes: stopper specs, see `make_stopper`, in display order.
        system, continuation: see `RaceRequest`.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """
    request = RaceRequest(prompt, lanes, sampling, max_new_tokens, seed, verification, system, continuation)
    return empty_trace(pair, request)


def empty_trace(pair: Pair, request: RaceRequest) -> Trace:
    """Return the trace of a race before its first round.

    Raises:
        UserError: the pair's tokenizer cannot read the prompt, or its target takes no system prompt.
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
        prompt_tokens=len(pair.encode(request.prompt, request.system, request.continuation)),
        system=request.system,
        continuation=request.continuation,
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        sampling=request.sampling,
        verification=cast(Verification, request.verification),
        noise_version=NOISE_VERSION,
        lanes=[
            Lane(stopper.name, stopper.settings, spec.strip())
            for stopper, spec in zip(request.stoppers, request.lanes, strict=True)
        ],
        # Set here rather than in `race`, because the browser receives the trace before the first round.
        expected_times=pair.earlier_texts.times(request.verification, request.sampling),
        expected_acceptance=pair.earlier_texts.acceptance(request.verification, request.sampling),
    )


def race(pair: Pair, trace: Trace, *, record: bool = True) -> Iterator[tuple[int, Round]]:
    """Run the race that a trace describes, adding to the trace; yield (lane number, new round) after each
    round.

    Close the generator to stop; the rounds so far stay in the trace. Texts and metrics are up to date at
    every yield. If a stopper fails, only its own lane ends, and the lane's `failure` says why.

    Raises:
        UserError: the prompt and the answer do not fit the model's context, the device runs out of memory, or
            a model's logits are NaN.
    """
    too_large = Sentence(
        "{} has too little free memory for this race; run fewer lanes, shorten the prompt or request fewer "
        "new tokens.",
        pair.device,
    )
    with out_of_memory_as(too_large):
        yield from _race(pair, trace, record)


def _race(pair: Pair, trace: Trace, record: bool) -> Iterator[tuple[int, Round]]:
    stoppers = _fresh_stoppers(trace)
    running = _start_lanes(pair, trace, stoppers, record)
    metrics = RunningMetrics(trace)
    if len(stoppers) < len(trace.lanes):
        metrics.update()  # lanes without rounds have metrics too
    texts = [pair.text_stream() for _ in trace.lanes]
    for lane, text in zip(trace.lanes, texts, strict=True):
        lane.pieces = text.pieces
    try:
        while running:
            number = min(running, key=lambda n: trace.lanes[n].clock_s)
            lane = trace.lanes[number]
            try:
                round_ = next(running[number], None)
            except StopperFault as fault:
                round_ = None
                _end(lane, fault)
                metrics.update()
            if round_ is None:
                del running[number]
                continue
            lane.rounds.append(round_)
            lane.token_ids.extend(round_.token_ids)
            texts[number].add(round_.token_ids)
            lane.text = texts[number].text
            trace.token_bytes |= pair.token_bytes(round_.shown_ids)
            metrics.add(number, round_)
            metrics.update()
            yield number, round_
        explain_differences(pair, trace)
        sampling = Sampling.of(trace.sampling)
        pair.earlier_texts.add(trace.verification, sampling, judged_drafts(trace), times_of(trace))
    finally:
        for generator in running.values():
            generator.close()
        for lane, text in zip(trace.lanes, texts, strict=True):
            text.finish()
            lane.text = text.text


def _start_lanes(
    pair: Pair, trace: Trace, stoppers: dict[int, Stopper], record: bool
) -> dict[int, Generator[Round, None, None]]:
    """Prefill the prompt, and return a generator of rounds for each stopper, by lane number."""
    sampling = Sampling.of(trace.sampling)
    drafting = any(stopper.max_draft for stopper in stoppers.values())
    prompt_ids = pair.encode(trace.prompt, trace.system, trace.continuation)
    context = read_prompt(pair, prompt_ids, trace.max_new_tokens, drafting)
    last = max(stoppers, default=None)  # uses up the context itself
    return {
        number: decode(
            pair,
            None,
            stopper,
            sampling,
            max_new_tokens=trace.max_new_tokens,
            seed=trace.seed,
            verification=trace.verification,
            expected_times=trace.expected_times,
            expected_acceptance=trace.expected_acceptance,
            context=context if number == last else context.copy(),
            record=record,
        )
        for number, stopper in stoppers.items()
    }


def _fresh_stoppers(trace: Trace) -> dict[int, Stopper]:
    """Return a new stopper for each lane, by lane number. Lanes whose stopper cannot be constructed are left
    out and marked as failed."""
    stoppers = {}
    for number, lane in enumerate(trace.lanes):
        try:
            stoppers[number] = fresh_stopper(lane)
        except StopperFault as fault:
            _end(lane, fault)
    return stoppers


def _end(lane: Lane, fault: StopperFault) -> None:
    lane.failure = str(fault)
    logging.getLogger("adaedl.stoppers").warning("%s", fault)


def times_of(trace: Trace) -> Times | None:
    """Return the times fitted to the rounds of a race, for up to DEEPEST_DEFAULT drafts; None unless some
    rounds had drafts and some had none."""
    rounds = [round_ for lane in trace.lanes for round_ in lane.rounds]
    plain = [round_ for round_ in rounds if not round_.drafted and not round_.dropped]
    drafting = [round_ for round_ in rounds if round_.drafted and not round_.dropped]
    return fit_times(plain, drafting, DEEPEST_DEFAULT) if plain and drafting else None


def judged_drafts(trace: Trace) -> Iterator[tuple[float, bool]]:
    """Yield the entropy of each draft that the target judged, and whether it was accepted. Lanes that score q
    at a temperature of their own have other entropies, and are left out."""
    for lane in trace.lanes:
        if lane.settings.get("score_temperature") is None:
            for round_ in lane.rounds:
                for draft in round_.drafted[: round_.accepted + 1]:
                    yield draft.entropy, draft.accepted
