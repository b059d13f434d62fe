"""Under speculative sampling, replays have the distribution of real runs: text, rounds and drafts."""

import copy
import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from toys import World, observe_round, random_world, reference_warp, tiny_pair, world_pair

from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.recordings import chains
from adaedl.recordings.recorder import record
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import near_ties, replay, replay_trace
from adaedl.request import Sampling
from adaedl.stopping import DraftStep, Stopper, make_stopper

RUNS = 400
# Each test of a distribution rejects true draws with a probability of one in a million.
LEAST_P = 1e-6
WORLDS = {  # kind of drafter, tables, sampling
    "feature, trimmed": ("feature", random_world(5, vocab_size=4, length=5, trimmed=True), Sampling(1.0)),
    "independent, ends": ("independent", random_world(7, 3, 5, eos=True), Sampling(0.8, top_p=0.95)),
    "disagreeing": (
        "independent",
        World(5, torch.tensor([[0.6, 0.3, 0.1]] * 121).log(), torch.tensor([[0.2, 0.2, 0.6]] * 121).log()),
        Sampling(1.0),
    ),
}
SPECS = [
    "fixed:k=1",
    "fixed:k=3",
    "adaedl:threshold=0.6,epsilon=0.3,beta2=0.2",
    "adaedl:threshold=0.7,keep_last=false",
    "confidence:threshold=0.5",
    "heuristic:k=2",
]


# Real runs: every draft, acceptance and correction with its exact probability.


def exact_law(name: str, spec: str) -> dict[tuple, float]:
    """Return the probability of every (accepted counts of the first two rounds, text) of `decode()`."""
    _, world, sampling = WORLDS[name]
    law: dict[tuple, float] = defaultdict(float)
    p, q = (reference_warp(logits.double().numpy(), sampling) for logits in tables_of(world))

    def play(stopper: Stopper, text: tuple, node: int, accepted: tuple, chance: float) -> None:
        if len(text) == world.length or world.eos_id in text:
            law[accepted[:2], text] += chance
            return
        for drafts, stopped, likelihood in draft(stopper, len(text), node):
            judge(stopped, text, node, accepted, drafts, chance * likelihood)

    def draft(stopper: Stopper, written: int, node: int):
        """Yield the drafts of a round with the stopper after them, and their probability."""
        waiting = [((), node, copy.deepcopy(stopper), 1.0)]
        waiting[0][2].begin_round()
        while waiting:
            drafts, at, own, likelihood = waiting.pop()
            limit = min(own.max_draft, world.length - written - 1)
            if len(drafts) == limit or world.eos_id in drafts:
                yield drafts, (own, 0), likelihood
                continue
            for token in np.flatnonzero(q[at]):
                after = copy.deepcopy(own)
                stop = after.should_stop(step_of(q[at], token, len(drafts) + 1))
                if stop and not own.keep_last:
                    yield drafts, (after, 1), likelihood * q[at][token]
                elif stop:
                    yield (*drafts, token), (after, 0), likelihood * q[at][token]
                else:
                    child = world.child(at, token)
                    waiting.append(((*drafts, token), child, after, likelihood * q[at][token]))

    def judge(stopped, text, node, accepted, drafts, chance) -> None:
        stopper, dropped = stopped
        count, at = 0, node  # count: accepted drafts so far
        for token in drafts:
            accepting = min(1.0, p[at][token] / q[at][token])
            residual = np.maximum(p[at] - q[at], 0)
            if accepting < 1:
                for other in np.flatnonzero(residual):
                    rejected = chance * (1 - accepting) * residual[other] / residual.sum()
                    go_on(stopper, text, node, accepted, drafts, count, dropped, other, rejected)
            chance *= accepting
            count, at = count + 1, world.child(at, token)
            if token == world.eos_id:
                go_on(stopper, text, node, accepted, drafts, count, dropped, None, chance)
                return
        for token in np.flatnonzero(p[at]):
            go_on(stopper, text, node, accepted, drafts, count, dropped, token, chance * p[at][token])

    def go_on(stopper, text, node, accepted, drafts, count, dropped, emitted, chance) -> None:
        if chance <= 0:
            return
        stopper = copy.deepcopy(stopper)
        observe_round(stopper, len(drafts), count, dropped)
        new = (*drafts[:count], *(() if emitted is None else (emitted,)))
        for token in new:
            node = world.child(node, token)
        play(stopper, (*text, *(int(token) for token in new)), node, (*accepted, count), chance)

    play(make_stopper(limited(spec)), (), 0, (), 1.0)
    return dict(law)


def tables_of(world: World) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of both models over the target's vocabulary."""
    if world.draft_vocab is None:
        return world.target_logits, world.draft_logits
    draft = torch.full_like(world.target_logits, -torch.inf)
    return world.target_logits, draft.index_copy(-1, world.draft_vocab, world.draft_logits)


def step_of(q: np.ndarray, token: int, position: int) -> DraftStep:
    top = sorted(q)[::-1]
    entropy = -sum(value * math.log(value) for value in q if value)
    return DraftStep(entropy, top[0], top[0] - top[1], q[token], position)


@cache
def recordings(name: str, runs: int = RUNS) -> list[Recording]:
    kind, world, sampling = WORLDS[name]
    pair = world_pair(world, kind)
    options = {"verification": "speculative", "max_new_tokens": 5, "depth": 4}
    return [record(pair, "w0", sampling, seed=seed, **options) for seed in range(runs)]


def outcomes(name: str, spec: str, runs: int = RUNS) -> Counter:
    """Count how often each outcome of `exact_law` is replayed."""
    counts: Counter = Counter()
    for recording in recordings(name, runs):
        rounds = replay(recording, limited(spec)).rounds
        accepted = tuple(round_.accepted for round_ in rounds)
        counts[accepted[:2], tuple(token for round_ in rounds for token in round_.token_ids)] += 1
    return counts


def limited(spec: str) -> str:
    """Return a spec that drafts no deeper than the recordings."""
    return spec if spec.startswith("fixed") else f"{spec}{',' if ':' in spec else ':'}max_draft=4"


def p_value(counts: Counter, law: dict[tuple, float]) -> float:
    """Return the p-value of Pearson's test; outcomes with an expected count below 5 are merged."""
    if counts.keys() - law.keys():
        return 0.0
    runs = sum(counts.values())
    cells = [(counts[outcome], runs * chance) for outcome, chance in law.items()]
    common = [cell for cell in cells if cell[1] >= 5]
    rare = [cell for cell in cells if cell[1] < 5]
    merged = [tuple(map(sum, zip(*rare, strict=True)))] if rare else []
    observed, expected = zip(*common, *merged, strict=True)
    return float(stats.chisquare(observed, np.array(expected) * (runs / sum(expected))).pvalue)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", [name for name in WORLDS if name != "disagreeing"])
def test_replays_have_the_distribution_of_real_runs(name, spec):
    law = exact_law(name, spec)
    assert math.isclose(sum(law.values()), 1, rel_tol=1e-9)
    assert p_value(outcomes(name, spec), law) > LEAST_P


@pytest.mark.parametrize("right", [True, False])
def test_a_rejected_draft_drawn_from_q_fails(right, monkeypatch):
    if not right:
        monkeypatch.setattr(chains, "residual", lambda q, p: q)
    recordings.cache_clear()
    law, counts = exact_law("disagreeing", "fixed:k=3"), outcomes("disagreeing", "fixed:k=3", 400)
    recordings.cache_clear()
    assert (p_value(without_texts(counts), without_texts(law)) > LEAST_P) == right


def without_texts(outcomes: dict) -> Counter:
    """Return outcomes without their texts, which are right even with a wrong coupling."""
    counts: Counter = Counter()
    for (accepted, _), count in outcomes.items():
        counts[accepted] += count
    return counts


def test_at_temperature_0_both_rules_give_the_same_recording():
    pair, sampling = tiny_pair("feature"), Sampling(0)
    noisy, speculative = (
        record(pair, "w3 w14", sampling, max_new_tokens=12, verification=rule)
        for rule in ("shared_noise", "speculative")
    )
    assert speculative.replays_runs
    assert speculative.probed_alike == speculative.probed > 0
    assert (noisy.token_ids, noisy.chains) == (speculative.token_ids, speculative.chains)


def test_the_text_is_that_of_the_autoregressive_lane():
    pair, sampling = tiny_pair("independent"), Sampling(0.9)
    options = {"max_new_tokens": 20, "seed": 4, "verification": "speculative"}
    rounds = decode(pair, pair.encode("w3 w14"), make_stopper("autoregressive"), sampling, **options)
    assert record(pair, "w3 w14", sampling, **options).token_ids == [t for r in rounds for t in r.token_ids]


def test_a_speculative_recording_reads_back_with_its_rule():
    pair = tiny_pair("feature")
    recording = record(pair, "w3 w14", Sampling(0.9), max_new_tokens=12, verification="speculative")
    assert Recording.from_json(recording.to_json()) == recording
    assert not recording.replays_runs
    assert recording.target_gap == [] == recording.chains[0].gap
    trace = replay_trace(recording, ["autoregressive", "fixed:k=3"])
    assert trace.verification == "speculative"
    assert {token.target_id for r in trace.lanes[1].rounds for token in r.drafted} == {None}
    assert near_ties(recording, trace.lanes[1]) == 0
    with pytest.raises(UserError, match="target_gap: 0 entries for 12 tokens"):
        Recording.from_json(recording.to_json().replace('"speculative"', '"shared_noise"'))
    with pytest.raises(UserError, match="verification"):
        Recording.from_json(recording.to_json().replace('"speculative"', '"both"'))


def test_an_unknown_rule_is_refused():
    with pytest.raises(UserError, match="no verification rule 'exact'"):
        record(tiny_pair("feature"), "w3", Sampling(1.0), verification="exact")


def test_tokens_per_round_on_the_real_pair_match_real_runs(default_pair):
    """The means of 6 texts differ by less than 5 standard errors, which true runs exceed once in a
    million."""
    replayed, real = [], []
    for number in range(6):
        prompt = BENCH_PROMPTS[number % len(BENCH_PROMPTS)]
        options = {"max_new_tokens": 20, "seed": number, "verification": "speculative"}
        lane = replay(record(default_pair, prompt, Sampling(0.7), **options), "fixed:k=3")
        replayed.append(len(lane.token_ids) / len(lane.rounds))
        options["seed"] += 1000
        stopper = make_stopper("fixed:k=3")
        rounds = list(decode(default_pair, default_pair.encode(prompt), stopper, Sampling(0.7), **options))
        real.append(sum(len(round_.token_ids) for round_ in rounds) / len(rounds))
    error = math.sqrt((np.var(replayed, ddof=1) + np.var(real, ddof=1)) / len(real))
    assert abs(np.mean(replayed) - np.mean(real)) < 5 * error
