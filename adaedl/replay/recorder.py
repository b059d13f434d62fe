"""Make a recording: the target writes its text once, and the drafter continues from each of its positions.

If the drafter supports it, positions draft side by side, as one batch over the shared prefix; otherwise one
after another. A recording costs two to three times what the target alone takes for the text
(`Recording.plain_s`, `Recording.recording_s`), however many settings are replayed from it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, zip_longest
from typing import Protocol

import torch
from torch import Tensor

from adaedl.decoding import decode, read_prompt, score_sampling
from adaedl.errors import Sentence, UserError
from adaedl.models.drafters.drafter import DraftSession
from adaedl.models.runner import PREFILL_CHUNK
from adaedl.noise import SharedNoise
from adaedl.pairs.loading import memory_told
from adaedl.pairs.pair import Pair
from adaedl.race import new_trace
from adaedl.replay.recording import Chain, Recording
from adaedl.replay.replay import replay
from adaedl.replay.times import fit_times
from adaedl.request import Sampling
from adaedl.sampling import (
    acceptance_probability,
    choose_with_noise,
    draft_statistics,
    warp,
    warp_logits,
)
from adaedl.stopping import DEFAULT_MAX_DRAFT, MAX_DRAFT_LIMIT, AdaEDL, DraftStep, Stopper
from adaedl.trace import Round

MAX_TOKENS = 1024  # the target's probabilities at every position are in memory at once
UNROLL_ROWS = 256  # positions drafted side by side
DIGITS = 7  # significant digits kept of a float32


def record(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    *,
    progress: Callable[[float], None] = lambda share: None,
    **settings,
) -> Recording:
    """Record the target's text after a prompt, under shared noise or at temperature 0.

    Args:
        progress: called with the share done, from 0 to 1; may raise to stop.
        settings: `max_new_tokens` (96), `seed` (0); `depth` (12), the number of drafts from each position:
            stoppers with a `max_draft` up to it can be replayed; `score_temperature` (None), the stopper
            setting of that name: stoppers that score q at another temperature cannot be replayed; `enough`,
            called between rounds: once it returns True, the text ends there.

    Raises:
        UserError: a value is invalid, or the prompt does not fit.
    """
    with closing(record_in_parts(pair, prompt, sampling, **settings)) as parts:
        for told in parts:
            if isinstance(told, Recording):
                return told
            progress(told)


def record_scored(
    pair: Pair, prompt: str, sampling: Sampling, score_temperatures: Sequence[float | None], **settings
) -> list[Recording]:
    """Return one recording for each score temperature, all of the same drafts and the same clocks. Arguments
    and errors as in `record`."""
    *_, recordings = _in_parts(pair, prompt, sampling, score_temperatures, **settings)
    return recordings


def record_in_parts(
    pair: Pair, prompt: str, sampling: Sampling, *, score_temperature: float | None = None, **settings
) -> Iterator[float | Recording]:
    """Record in steps: yield the share done, from 0 to 1, after each step, and the recording at the end.
    Close the generator to stop. Pauses between two steps are on no clock. Arguments and errors as in
    `record`."""
    with closing(_in_parts(pair, prompt, sampling, [score_temperature], **settings)) as parts:
        for told in parts:
            yield told[0] if isinstance(told, list) else told


def _in_parts(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    score_temperatures: Sequence[float | None],
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
    depth: int = DEFAULT_MAX_DRAFT,
    enough: Callable[[], bool] = lambda: False,
) -> Iterator[float | list[Recording]]:
    """Like `record_in_parts`, with one recording for each score temperature.

    Raises:
        UserError: a value is invalid, the prompt does not fit, or the device's memory is full.
    """
    seconds, told = 0.0, None
    parts = _record(pair, prompt, sampling, max_new_tokens, seed, depth, score_temperatures, enough)
    too_large = Sentence(
        "{} has too little free memory for this recording; shorten the prompt or request fewer new tokens.",
        pair.device,
    )
    with closing(parts), memory_told(too_large):
        while not isinstance(told, list):
            began = time.perf_counter()
            told = next(parts)
            seconds += time.perf_counter() - began
            if isinstance(told, list):
                for recording in told:
                    recording.recording_s = seconds
            yield told


@torch.inference_mode()
def _record(
    pair: Pair,
    prompt: str,
    sampling: Sampling,
    max_new_tokens: int,
    seed: int,
    depth: int,
    score_temperatures: Sequence[float | None],
    enough: Callable[[], bool],
) -> Iterator[float | list[Recording]]:
    check_record(max_new_tokens, depth)
    # AdaEDL validates them and converts them to floats.
    score_temperatures = [AdaEDL(score_temperature=value).score_temperature for value in score_temperatures]
    scorings = [score_sampling(value, sampling) for value in score_temperatures]
    trace = new_trace(
        pair, prompt, ["autoregressive"], sampling, max_new_tokens=max_new_tokens, seed=seed
    )  # checks every value
    context = read_prompt(pair, pair.encode(prompt), max_new_tokens)
    noise = None
    if not sampling.greedy:
        noise = SharedNoise(seed, pair.target.vocab_size, pair.device)

    # The target alone writes the text. Rounds of every length are interleaved, so that drift affects both.
    def running(stopper: Stopper) -> Iterator[Round]:
        return decode(
            pair,
            None,
            stopper,
            sampling,
            max_new_tokens=max_new_tokens,
            seed=seed,
            context=context.copy(),
            record=False,
        )

    plain, probed = [], []
    for alone, probe in zip_longest(running(Probe(0)), running(Probe(depth))):
        plain += [alone] if alone else []
        probed += [probe] if probe else []
        yield 0.7 * len(plain) / max_new_tokens
        if cut_short := alone is not None and enough():
            max_new_tokens = len(plain)
            break
    times = fit_times(plain, probed, depth)
    if cut_short:
        probed = list(_rounds_within(probed, max_new_tokens))
    token_ids = [token for played in plain for token in played.token_ids]

    # The last token read before each token of the text.
    read = torch.cat((context.next_token, context.next_token.new_tensor(token_ids[:-1])))
    layers = pair.drafter.feature_layers
    cache = context.target_cache.copy()
    outputs = [pair.target.forward(chunk, cache, "all", layers) for chunk in read.split(PREFILL_CHUNK)]
    logits = torch.cat([output.logits for output in outputs])
    features = None
    if layers:
        features = torch.cat((context.features, *(output.features for output in outputs)))[:-1]
    target = _Choice(sampling, noise, None)
    p = warp(logits, sampling)
    text = read.new_tensor(token_ids)
    yield 0.75

    drafting = _Drafting(pair, sampling, scorings, noise, p, text, depth, max_new_tokens)
    chains: list[list[Chain]] = [[] for _ in scorings]
    for first, source in _sources(context.session, read, features):
        for known, more in zip(chains, drafting.chains(first, source), strict=True):
            known += more
        yield 0.75 + 0.25 * len(chains[0]) / len(token_ids)

    used = {*token_ids, *(token for chain in chains[0] for token in chain.ids)}
    stream = pair.text_stream()
    stream.add(token_ids)
    stream.finish()
    recording = Recording(
        created=trace.created,
        versions=trace.versions,
        device=trace.device,
        dtype=trace.dtype,
        pair=trace.pair,
        prompt=prompt,
        prompt_tokens=trace.prompt_tokens,
        max_new_tokens=max_new_tokens,
        seed=seed,
        noise_version=trace.noise_version,
        sampling=trace.sampling,
        depth=depth,
        score_temperature=score_temperatures[0],
        token_ids=token_ids,
        target_p=_rounded(p.gather(-1, text[:, None]).squeeze(-1)),
        target_gap=_rounded(target.gap(logits, 0, text)),
        eos_ids=sorted(pair.eos_ids),
        text=stream.text,
        pieces=stream.pieces,
        token_bytes=pair.token_bytes(used),
        texts={token: pair.token_text(token) for token in sorted(used)},
        chains=chains[0],
        times=times,
        plain_s=plain[-1].end_s,
        recording_s=0.0,
        probed=len(probed),
    )
    again = replay(recording, Probe(depth)).rounds
    pairs = enumerate(zip(probed, again, strict=False))
    different = (number for number, rounds in pairs if len({_outcome(played) for played in rounds}) == 2)
    recording.probed_alike = next(different, len(probed))
    scored = zip(score_temperatures, chains, strict=True)
    yield [replace(recording, score_temperature=value, chains=own) for value, own in scored]


def _rounds_within(rounds: list[Round], tokens: int) -> Iterator[Round]:
    """Yield the leading rounds that a text of `tokens` tokens would contain unchanged."""
    written = 0
    for played in rounds:
        if written + len(played.drafted) + 1 > tokens:
            return
        written += len(played.token_ids)
        yield played


def _outcome(played: Round) -> tuple:
    """Return what a round did, without its times."""
    return *(token.id for token in played.drafted), played.accepted, played.stop_reason, *played.token_ids


def check_record(max_new_tokens: int, depth: int) -> None:
    """Raise UserError if a recording of this length or depth is not possible."""
    if not isinstance(depth, int) or not 1 <= depth <= MAX_DRAFT_LIMIT:
        raise UserError("depth is {!r}; it must be a whole number from 1 to {}.", depth, MAX_DRAFT_LIMIT)
    if isinstance(max_new_tokens, int) and max_new_tokens > MAX_TOKENS:
        raise UserError("max_new_tokens is {}; a recording holds at most {:,}.", max_new_tokens, MAX_TOKENS)


class Probe(Stopper):
    """A stopper that drafts every number of tokens from 1 to `depth` in turn, the extremes first and then the
    numbers between, so that a few rounds show the cost of every length. With a depth of 0 it drafts nothing.
    """

    name = "probe"

    def __init__(self, depth: int):
        super().__init__(max_draft=max(depth, 1))
        self.max_draft = self.depth = depth
        self.lengths = cycle(_from_ends(depth) or [1])
        self.length = next(self.lengths)

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        self.length = next(self.lengths)


def _from_ends(depth: int) -> list[int]:
    """Return the numbers from 1 to `depth`: both ends, then repeatedly the middle of the remaining gaps."""
    order, gaps = sorted({1, depth}) if depth else [], [(1, depth)]
    for low, high in gaps:
        if high - low > 1:
            order.append(middle := (low + high) // 2)
            gaps += [(low, middle), (middle, high)]
    return order


class _Source(Protocol):
    """Drafts from N positions side by side: logits [N, Vq] for the next token of each, over the target's ids
    `vocab` [Vq] (None for the whole vocabulary)."""

    logits: Tensor
    vocab: Tensor | None

    def extend(self, token_ids: Tensor) -> Tensor:
        """Append one drafted token to each position, token_ids [N]; return the logits [N, Vq] for the
        next."""


class _InTurn:
    """A single position, for sessions that cannot draft from several side by side."""

    def __init__(self, session: DraftSession, token_ids: Tensor, features: Tensor | None):
        self.session = session
        self.logits = session.begin(token_ids, features)[None]
        self.vocab = session.vocab

    def extend(self, token_ids: Tensor) -> Tensor:
        return self.session.extend(token_ids)[None]


def _sources(session: DraftSession, read: Tensor, features: Tensor | None) -> Iterator[tuple[int, _Source]]:
    """Yield the sources of drafts, each with its first position: many positions at once if the drafter
    supports it. `read` [N] are the tokens before each position, `features` [N, F] the target's features one
    position before each."""
    session = session.copy()
    start, rows = (session.unroll, UNROLL_ROWS) if hasattr(session, "unroll") else (None, 1)
    for first in range(0, len(read), rows):
        part = slice(first, first + rows)
        before = None if features is None else features[part]
        yield first, start(read[part], before) if start else _InTurn(session, read[part], before)


@dataclass
class _Choice:
    """How a model chooses a token at each of several positions, as in decode()."""

    sampling: Sampling
    noise: SharedNoise | None
    vocab: Tensor | None

    def noise_at(self, first: int, count: int) -> Tensor | None:
        """Return the noise [count, Vq] for `count` positions from `first` on."""
        if self.noise is None:
            return None
        rows = self.noise.at(first, count)
        return rows if self.vocab is None else rows[:, self.vocab]

    def token(self, logits: Tensor, first: int) -> Tensor:
        """Return the indices [N] chosen from logits [N, Vq] at the positions first, first + 1, …"""
        return choose_with_noise(logits, self.noise_at(first, len(logits)), self.sampling)

    def gap(self, logits: Tensor, first: int, chosen: Tensor) -> Tensor:
        """Return the lead of the chosen tokens [N] over the best other token, [N]; 0 if they do not lead."""
        scores = logits.float()
        if not self.sampling.greedy:
            scores = warp_logits(logits, self.sampling) + self.noise_at(first, len(logits))
        own = scores.gather(-1, chosen[:, None])
        others = scores.scatter(-1, chosen[:, None], -torch.inf)
        lead = own.squeeze(-1) - others.max(-1).values
        return lead.clamp(min=0, max=1e6)  # infinite where it is alone in its nucleus


@dataclass
class _Drafting:
    """Drafts chains from sources and computes what stoppers and pictures need."""

    pair: Pair
    sampling: Sampling
    scorings: list[Sampling | None]
    noise: SharedNoise | None
    p: Tensor  # [tokens, V]
    text: Tensor  # [tokens]
    depth: int
    max_new_tokens: int

    def chains(self, first: int, source: _Source) -> list[list[Chain]]:
        """Return the chains of the positions from `first` on: for each scoring, one chain per row of the
        source."""
        vocab = source.vocab
        choice = _Choice(self.sampling, self.noise, vocab)
        rows = len(source.logits)
        positions = torch.arange(first, first + rows, device=self.p.device)
        eos = torch.tensor(sorted(self.pair.eos_ids), dtype=torch.long, device=self.p.device)
        open_, reached = (torch.ones_like(positions, dtype=torch.bool) for _ in range(2))
        columns: list[tuple[dict[str, list], list[dict[str, list]]]] = []
        logits = source.logits
        for step in range(self.depth):
            here = positions + step
            open_ = open_ & (here < self.max_new_tokens - 1)
            if not open_.any():
                break
            index = choice.token(logits, first + step)
            ids = index if vocab is None else vocab[index]
            reached = reached & open_ & (here < len(self.text))
            columns.append(self._column(logits, choice, index, ids, first + step, open_, reached))
            reached = reached & (self.text[here.clamp(max=len(self.text) - 1)] == ids)
            open_ = open_ & ~torch.isin(ids, eos)
            if step + 1 < self.depth and open_.any():
                logits = source.extend(ids)
        by_scoring = range(len(self.scorings))
        scored = [[column | scores[number] for column, scores in columns] for number in by_scoring]
        return [[self._chain(own, row) for row in range(rows)] for own in scored]

    def _column(
        self, logits, choice, index, ids, first, open_, reached
    ) -> tuple[dict[str, list], list[dict[str, list]]]:
        """Return the numbers of one draft of every row, and those that each scoring has of its own; p and β
        only where the draft is `reached`."""
        q = warp(logits, self.sampling)
        p, beta = (q.new_zeros(len(q)) for _ in range(2))
        places = reached.nonzero().squeeze(-1)
        target = self.p[first + places]
        p[places] = target.gather(-1, ids[places, None]).squeeze(-1).to(p)
        beta[places] = acceptance_probability(target, q[places], choice.vocab).to(beta)
        column = {
            "open": open_,
            "reached": reached,
            "ids": ids,
            "q": q.gather(-1, index[:, None]).squeeze(-1),
            "gap": choice.gap(logits, first, index),
            "p": p,
            "beta": beta,
        }
        scores = [self._scores(warp(logits, s) if s else q, index) for s in self.scorings]
        return {name: _plain(values) for name, values in column.items()}, scores

    @staticmethod
    def _scores(q: Tensor, index: Tensor) -> dict[str, list]:
        """Return the statistics that stoppers use, from q [N, Vq] as they score it and the drafted indices
        [N]."""
        statistics = draft_statistics(q)
        scores = {
            "entropy": statistics.entropy.clamp(min=0),
            "top_prob": statistics.top_prob,
            "margin": statistics.margin,
            "token_prob": q.gather(-1, index[:, None]).squeeze(-1),
        }
        return {name: _plain(values) for name, values in scores.items()}

    @staticmethod
    def _chain(columns: list[dict[str, list]], row: int) -> Chain:
        length = sum(column["open"][row] for column in columns)
        reached = sum(column["reached"][row] for column in columns)
        lengths = dict.fromkeys(("ids", "q", "entropy", "top_prob", "margin", "token_prob", "gap"), length)
        lengths |= {"p": reached, "beta": reached}
        return Chain(**{name: [c[name][row] for c in columns[:count]] for name, count in lengths.items()})


def _plain(values: Tensor) -> list:
    return _rounded(values) if values.is_floating_point() else values.tolist()


def _rounded(values: Tensor) -> list[float]:
    """Return the values as JSON stores them, so that a saved recording replays as before."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
