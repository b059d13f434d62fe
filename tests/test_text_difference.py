"""Explanations of why a lane's text is not the target's own: the token, the gap between the choices, and
whether rounding explains it."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from toys import tiny_pair

from adaedl.cli.race import remarks_on
from adaedl.decoding.differences import explain_differences
from adaedl.metrics import compute_metrics
from adaedl.models.shared_noise import SharedNoise
from adaedl.models.transformers import TransformersRunner
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.sampling import warp_logits
from adaedl.text_difference import first_difference, gap_between, rounding_of
from adaedl.trace import Lane, TextDifference, Trace
from components.parts.player import RaceFeed

PROMPT = "w1 w2 w3"
LANES = ["autoregressive", "fixed:k=3", "adaedl"]


class Biased:
    """A target that gives one token a higher logit in forwards over several rows, as rounding may."""

    def __init__(self, runner, token: int, more: float):
        self.runner, self.token, self.more = runner, token, more

    def __getattr__(self, name: str):
        return getattr(self.runner, name)

    def forward(self, token_ids, cache, logits="all", feature_layers=()):
        output = self.runner.forward(token_ids, cache, logits, feature_layers)
        if logits == "all" and len(token_ids) > 1:
            output.logits[:, self.token] += self.more
        return output


@pytest.fixture(scope="module")
def pair():
    return tiny_pair("feature", runner=TransformersRunner)


def run(pair, temperature: float = 0.0, top_k: int = 0, lanes=LANES, **options) -> Trace:
    options = {"max_new_tokens": 24, **options}
    trace = new_trace(pair, PROMPT, list(lanes), Sampling(temperature, top_k), **options)
    for _ in race(pair, trace, record=False):
        pass
    return trace


def rows_of_target(pair, trace: Trace) -> torch.Tensor:
    """Return the target's logits [n, V] for each token of the autoregressive text, from one forward."""
    ids = pair.encode(PROMPT)
    text = torch.tensor(trace.lanes[0].token_ids)
    with torch.inference_mode():
        logits = pair.target.model(torch.cat((ids, text))[None]).logits[0]
    return logits[len(ids) - 1 : -1]


def runner_up(pair, trace: Trace, temperature: float) -> tuple[int, float]:
    """Return a token that is almost chosen somewhere in the text, and how much its score is too low."""
    scores = rows_of_target(pair, trace)
    if temperature:
        noise = SharedNoise(trace.seed, scores.shape[1])
        scores = warp_logits(scores, Sampling(temperature)) + noise.at(0, len(scores))
    top = scores.topk(2)
    gaps = top.values[:, 0] - top.values[:, 1]
    row = int(gaps[1:].argmin()) + 1
    return int(top.indices[row, 1]), float(gaps[row])


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, False), (torch.bfloat16, None)])
def test_the_gap_is_the_difference_between_the_scores_of_the_two_tokens(pair, temperature, dtype, rounding):
    unbiased = run(pair, temperature)
    assert [lane.text_difference for lane in unbiased.lanes] == [None] * 3
    token, shortfall = runner_up(pair, unbiased, temperature)
    biased = replace(
        pair, target=Biased(pair.target, token, (temperature or 1) * (shortfall + 0.05)), dtype=dtype
    )
    trace = run(biased, temperature)
    scores = rows_of_target(pair, trace)
    if temperature:
        noise = SharedNoise(trace.seed, scores.shape[1])
        scores = warp_logits(scores, Sampling(temperature)) + noise.at(0, len(scores))
    changed = [lane for lane in trace.lanes[1:] if lane.text_difference]
    assert changed
    for lane in changed:
        difference, theirs = lane.text_difference, trace.lanes[0].token_ids
        position = difference.position
        assert lane.token_ids[:position] == theirs[:position]
        assert (difference.ours, difference.theirs) == (lane.token_ids[position], theirs[position])
        assert difference.ours == token
        assert (difference.ours_text, difference.theirs_text) == (
            pair.decode([difference.ours]),
            pair.decode([difference.theirs]),
        )
        row = scores[position]
        assert difference.gap == pytest.approx(float(row[difference.theirs] - row[difference.ours]), abs=1e-4)
        limit = rounding_of(dtype, Sampling(temperature))
        assert difference.rounding is (difference.gap <= limit if rounding is None else rounding)


def test_no_difference_is_reported_where_texts_may_differ(pair):
    speculative = run(pair, 0.8, verification="speculative")
    alone = run(pair, lanes=["fixed:k=3", "adaedl"])
    for trace in (speculative, alone):
        assert [lane.text_difference for lane in trace.lanes] == [None] * len(trace.lanes)


def finished(pair, *texts: list[int], temperature: float = 0.0, top_k: int = 0) -> Trace:
    """Return a race whose lanes wrote these texts, the first lane without drafts."""
    names = ["autoregressive", "adaedl", "svip"][: len(texts)]
    trace = new_trace(pair, PROMPT, names, Sampling(temperature, top_k), max_new_tokens=24)
    trace.lanes = [Lane(name, {}, name, token_ids=ids) for name, ids in zip(names, texts, strict=True)]
    return trace


def test_one_pass_over_the_text_explains_all_lanes(pair):
    text = run(pair).lanes[0].token_ids
    other = [*text[:9], (text[9] + 1) % 32, *text[10:]]
    earlier = [(text[0] + 1) % 32, *text[1:]]
    trace = finished(pair, text, other, earlier)
    read = []

    class Counting(Biased):
        def forward(self, token_ids, *options):
            read.extend(token_ids.tolist())
            return self.runner.forward(token_ids, *options)

    explain_differences(replace(pair, target=Counting(pair.target, 0, 0)), trace)
    assert [lane.text_difference and lane.text_difference.position for lane in trace.lanes] == [None, 9, 0]
    assert read == [*pair.encode(PROMPT).tolist(), *text[:9]]
    assert all(lane.text_difference.gap > 0 for lane in trace.lanes[1:])


def test_a_shorter_text_is_not_a_difference(pair):
    text = run(pair).lanes[0].token_ids
    trace = finished(pair, text, text[:5])
    explain_differences(pair, trace)
    assert trace.lanes[1].text_difference is None
    assert first_difference([1, 2, 3], [1, 5]) == 1


def test_the_gap_of_a_cut_off_token_is_its_distance_to_the_smallest_kept_score():
    logits, noise = torch.tensor([4.0, 3.0, 2.9, -1.0]), torch.tensor([0.0, 0.2, 9.0, 9.0])
    sampling = Sampling(0.5, top_k=2)
    assert gap_between(logits, noise, sampling, 2, 0) == pytest.approx(0.2)  # (3.0 − 2.9) / 0.5
    assert gap_between(logits, noise, sampling, 1, 0) == pytest.approx(1.8)  # 2 − 0.2
    # If neither token has the highest score, the gap is the gap of the lower one.
    assert gap_between(logits, None, Sampling(0), 1, 2) == pytest.approx(1.1)


def test_without_memory_the_race_is_kept_and_the_gap_is_unknown(pair):
    text = run(pair).lanes[0].token_ids
    trace = finished(pair, text, [(text[0] + 1) % 32])

    class Full(Biased):
        def new_cache(self, capacity):
            raise torch.OutOfMemoryError("CUDA out of memory")

    explain_differences(replace(pair, target=Full(pair.target, 0, 0)), trace)
    difference = trace.lanes[1].text_difference
    assert (difference.position, difference.gap, difference.rounding) == (0, None, None)


def differing_trace(gap: float | None, rounding: bool | None) -> Trace:
    pair = tiny_pair("feature")
    trace = finished(pair, [1, 2, 3], [1, 5, 3])
    trace.dtype = "bfloat16"
    trace.lanes[1].text_difference = TextDifference(1, 5, 2, "w5", "w2", gap, rounding)
    compute_metrics(trace)
    return trace


@pytest.mark.parametrize(
    ("gap", "rounding", "words"),
    [
        (0.002, True, "at token 2 the two choices are 0.002 apart, a rounding difference of bfloat16."),
        (3.25, False, "at token 2 the two choices are 3.2 apart, more than rounding in bfloat16 explains."),
        (None, None, "at token 2, where the gap between the two choices could not be measured."),
    ],
)
def test_the_command_line_explains_different_texts(gap, rounding, words):
    assert f"adaedl: not the target's text: {words}" in remarks_on(differing_trace(gap, rounding))


def test_differences_and_failures_are_in_the_file_and_sent_to_the_browser_once():
    trace = differing_trace(0.002, True)
    trace.lanes[0].failure = "The stopper failed."
    for lane in trace.lanes:
        lane.token_ids = []  # since the lane has no rounds
    assert Trace.from_json(trace.to_json()).lanes[1].text_difference == trace.lanes[1].text_difference
    feed = RaceFeed(trace)
    feed.add_new_rounds()
    feed.end()
    lines = [json.loads(line) for line in feed.lines]
    assert lines[0]["trace"]["lanes"][1]["text_difference"] is None
    expected = {"lane": 1, "difference": asdict(trace.lanes[1].text_difference)}
    assert [line for line in lines if "difference" in line] == [expected]
    assert lines[0]["trace"]["lanes"][0]["failure"] == ""
    assert [line for line in lines if "failure" in line] == [{"lane": 0, "failure": "The stopper failed."}]
