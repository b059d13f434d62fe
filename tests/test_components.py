"""What the page is made of, without a browser: words, strips, charts, table, and the race as it is played."""

import json
from dataclasses import fields
from html import unescape
from itertools import accumulate

import pytest
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.metrics import compute_metrics, to_frame
from adaedl.models.presets import DEFAULT_PAIR
from adaedl.race import new_trace, race
from adaedl.sampling import Sampling
from adaedl.stopping import AdaEDL, make_stopper
from adaedl.trace import DraftedToken, Emitted, LaneMetrics, Round, Trace
from components.charts import lane_chart, progress_chart, speedup_chart
from components.controls import ADAEDL_LABELS, Controls, adaedl_spec
from components.live import Session, play
from components.messages import error_html, models_html, status_html
from components.metrics_table import DOCUMENTED, FORMATS, table_html
from components.models_state import MAX_WAITING, LoadState, ModelsState
from components.palette import BASELINE_COLOUR, lane_colours
from components.settings import RaceSettings
from components.strips import StripFeed
from components.words import lane_title, stop_words, token_marks

HOSTILE = '<img src=x onerror="window.hacked=1">'
LANES = ["autoregressive", "fixed:k=3", "adaedl:threshold=0.6", "max_confidence"]


def drafted(text="a", accepted=True, p=0.61, q=0.55, score=None, threshold=None) -> DraftedToken:
    return DraftedToken(
        id=1,
        text=text,
        entropy=1.0,
        bound=0.5,
        score=score,
        threshold=threshold,
        top_prob=q,
        q=q,
        p=p,
        beta=0.5,
        u=None,
        accepted=accepted,
    )


def a_round(tokens, accepted, emitted=None, stop_reason="max_draft") -> Round:
    return Round(0.0, 0.1, 0.02, 0.07, accepted, stop_reason, tokens, emitted)


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A finished race of a tiny pair."""
    pair = tiny_pair("self")
    trace = new_trace(pair, "w1 w2 w3", LANES, Sampling(0.8), max_new_tokens=40, seed=3)
    for _ in race(pair, trace):
        pass
    return trace


def settings(**changes) -> RaceSettings:
    values = {
        "prompt": "w1 w2 w3",
        "pair": DEFAULT_PAIR,
        "lanes": ["autoregressive", "adaedl"],
        "temperature": 0.8,
        "top_k": 0,
        "top_p": 1.0,
        "max_new_tokens": 40,
        "seed": 3,
        "verification": "shared_noise",
    }
    return RaceSettings(**{**values, **changes})


@pytest.fixture
def models() -> ModelsState:
    """The state of a process whose default pair, a tiny one here, is loaded."""
    state = ModelsState(DEFAULT_PAIR)
    state.pair = tiny_pair("self")
    state.pair.name = DEFAULT_PAIR
    return state


# Words


def test_a_rejected_draft_reads_as_accepted_rejected_thrown_away_and_correction():
    tokens = [drafted("a"), drafted("b", False), drafted("c", False)]
    marks = token_marks(a_round(tokens, 1, Emitted(2, "d", "correction", 0.3)))
    assert [(m.kind, m.text, m.index) for m in marks] == [
        ("accepted", "a", 0),
        ("rejected", "b", 1),
        ("discarded", "c", 2),
        ("correction", "d", 3),
    ]


def test_a_whole_accepted_draft_ends_in_a_bonus_and_no_draft_in_a_plain_token():
    assert [m.kind for m in token_marks(a_round([drafted()], 1, Emitted(2, "d", "bonus", 0.3)))] == [
        "accepted",
        "bonus",
    ]
    assert [m.kind for m in token_marks(a_round([], 0, Emitted(2, "d", "plain", 0.3)))] == ["plain"]
    assert [m.kind for m in token_marks(a_round([drafted()], 1, None, "eos"))] == ["accepted"]


def test_words_say_what_both_models_gave_a_token():
    emitted = Emitted(2, "the", "correction", 0.3)
    tokens = [drafted("a"), drafted("b", False, p=0.03, q=0.41), drafted("c", False)]
    accepted, rejected, thrown_away, correction = (m.words for m in token_marks(a_round(tokens, 1, emitted)))
    assert accepted == "accepted: target gave it 61%, draft 55%"
    assert rejected == "rejected: target gave it 3%, draft 41%; replaced by “the”"
    assert "followed a rejected token" in thrown_away
    assert "in place of a rejected one (it gave it 30%)" in correction


def test_words_do_without_a_target_probability_that_was_not_recorded():
    assert token_marks(a_round([drafted(p=None)], 1))[0].words == "accepted: draft 55%"


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0%"), (0.001, "under 1%"), (0.997, "over 99%"), (1.0, "100%"), (0.034, "3%")]
)
def test_shares_never_round_to_certainty(share, words):
    assert token_marks(a_round([drafted(p=share)], 1))[0].words.startswith(
        f"accepted: target gave it {words},"
    )


def test_a_stop_names_the_score_and_the_threshold_it_fell_below():
    played = a_round([drafted(score=0.414, threshold=0.5)], 1, stop_reason="threshold")
    assert stop_words(played, "adaedl") == "stopped: bound 0.41 < λ 0.50"
    assert stop_words(played, "max_confidence") == "stopped: top probability 0.41 < λ 0.50"


def test_a_stop_whose_token_was_dropped_does_not_claim_another_tokens_score():
    played = a_round([drafted(score=0.7, threshold=0.5)], 1, stop_reason="threshold")
    assert (
        stop_words(played, "adaedl")
        == "stopped: the next token's score was below λ, so that token was dropped"
    )
    assert "dropped" in stop_words(a_round([], 0, stop_reason="threshold"), "adaedl")


def test_every_stop_reason_has_words_and_the_baseline_has_none():
    reasons = {
        reason: stop_words(a_round([drafted()], 1, None, reason), "fixed")
        for reason in ("max_draft", "eos", "length")
    }
    assert reasons["max_draft"] == "stopped: 1 token drafted, the most it may"
    assert len(set(reasons.values())) == 3
    assert stop_words(a_round([], 0, Emitted(1, "a", "plain")), "autoregressive") is None


def test_a_lanes_title_tells_its_draft_length_even_where_that_is_the_default():
    trace = new_trace(tiny_pair(), "w1", ["fixed:k=4", "fixed:k=2", "adaedl"], Sampling(1.0))
    assert [lane_title(lane) for lane in trace.lanes] == ["fixed:k=4", "fixed:k=2", "adaedl"]


# Strips


def read_lines(feed: StripFeed) -> list[dict]:
    return [json.loads(line) for line in feed.text.splitlines()]


def test_strips_hold_every_round_of_every_lane_once_and_in_order(trace):
    feed = StripFeed(trace)
    feed.add_new_rounds()
    entries = [entry for entry in read_lines(feed) if "lane" in entry]
    assert len(entries) == sum(len(lane.rounds) for lane in trace.lanes)
    for number, lane in enumerate(trace.lanes):
        mine = [entry for entry in entries if entry["lane"] == number]
        assert [entry["round"] for entry in mine] == list(range(len(lane.rounds)))
        kept = [text for e in mine for kind, text, _ in e["tokens"] if kind not in ("rejected", "discarded")]
        by_trace = [
            text
            for r in lane.rounds
            for text in [*(t.text for t in r.drafted[: r.accepted]), *([r.emitted.text] if r.emitted else [])]
        ]
        assert kept == by_trace
        assert [bool(entry["stop"]) for entry in mine] == [lane.stopper != "autoregressive"] * len(mine)


def test_strips_only_ever_grow_at_their_end_while_a_race_runs():
    pair = tiny_pair()
    trace = new_trace(pair, "w1 w2", LANES, Sampling(0.8), max_new_tokens=12)
    feed, before, updates = StripFeed(trace), "", 0
    for _ in race(pair, trace):
        feed.add_new_rounds()
        feed.add_numbers()
        assert feed.text.startswith(before)
        assert len(feed.text) > len(before)
        before, updates = feed.text, updates + 1
    assert updates == sum(len(lane.rounds) for lane in trace.lanes) > 12


def test_hostile_text_in_a_strip_stays_text_and_never_holds_a_tag(trace):
    hostile = Trace.from_json(trace.to_json())
    hostile.lanes[0].label = HOSTILE
    hostile.lanes[0].rounds[0].emitted.text = f"{HOSTILE}</script>"
    feed = StripFeed(hostile)
    feed.add_new_rounds()
    assert "<" not in feed.text
    begin, first = read_lines(feed)[:2]
    assert begin["lanes"][0] == HOSTILE
    assert first["tokens"][0][1] == f"{HOSTILE}</script>"


def test_heads_show_the_traces_own_metrics(trace):
    feed = StripFeed(trace)
    feed.add_numbers()
    entry = read_lines(feed)[-1]
    for lane, head in zip(trace.lanes, entry["heads"], strict=True):
        shown = {name: text for name, text, _ in head}
        assert shown["speedup"] == f"{lane.metrics.speedup:.2f}×"
        assert shown["tokens_per_s"] == f"{lane.metrics.tokens_per_s:.0f} tok/s"
    assert entry["same"] == [None, True, True, True]


# Table


def test_every_metric_is_shown_and_explained():
    names = {field.name for field in fields(LaneMetrics)}
    assert set(FORMATS) == names
    assert names <= set(DOCUMENTED)
    assert all(what and unit for what, unit in DOCUMENTED.values())


def test_the_table_holds_the_traces_metrics_in_full(trace):
    html = table_html(trace)
    for name in FORMATS:
        row = html.split(f'data-metric="{name}"')[1].split("</tr>")[0]
        cells = [cell.split('"')[0] for cell in row.split('data-value="')[1:]]
        for cell, lane in zip(cells, trace.lanes, strict=True):
            value = getattr(lane.metrics, name)
            if value is None:
                assert cell == ""
            elif isinstance(value, bool):
                assert cell == str(value).lower()
            else:
                assert float(cell) == value


def test_a_hostile_lane_is_escaped_in_the_table(trace):
    hostile = Trace.from_json(trace.to_json())
    hostile.lanes[1].label = HOSTILE
    assert "<img" not in table_html(hostile)
    assert HOSTILE in unescape(table_html(hostile))


def test_a_race_that_has_not_begun_has_a_table_of_dashes():
    trace = new_trace(tiny_pair(), "w1", ["adaedl"], Sampling(1.0))
    compute_metrics(trace)
    assert table_html(trace).count("—") >= 10
    assert "<table" not in table_html(None)


# Charts


def named(figure, name):
    return next(part for part in figure.data if part.name == name)


def test_a_lane_chart_draws_what_the_trace_says_of_each_drafted_token(trace):
    lane = trace.lanes[2]
    tokens = [token for played in lane.rounds for token in played.drafted]
    figure = lane_chart(lane)
    assert list(named(figure, "entropy H(q)").y) == [token.entropy for token in tokens]
    assert list(named(figure, "bound").y) == [token.bound for token in tokens]
    assert list(named(figure, "threshold λ").y) == [token.threshold for token in tokens]
    assert len(named(figure, "accepted").x) == sum(token.accepted for token in tokens)
    assert len(named(figure, "rejected").x) + len(named(figure, "thrown away").x) == sum(
        not token.accepted for token in tokens
    )


def test_stop_points_stand_where_the_stopper_said_stop_and_nowhere_else(trace):
    lane = trace.lanes[2]
    ends = accumulate(len(played.drafted) for played in lane.rounds)
    expected = [end for end, r in zip(ends, lane.rounds, strict=True) if r.stop_reason == "threshold"]
    assert expected, "this race has no stop to look at"
    assert list(named(lane_chart(lane), "stop").x) == expected
    assert len(named(lane_chart(trace.lanes[1]), "stop").x) == 0


def test_a_stopper_with_another_score_has_it_drawn_beside_the_bound(trace):
    lane = trace.lanes[3]
    scores = [token.score for played in lane.rounds for token in played.drafted]
    assert list(named(lane_chart(lane), "top probability").y) == scores
    assert "top probability" not in [part.name for part in lane_chart(trace.lanes[2]).data]


def test_text_of_models_is_escaped_in_a_chart(trace):
    hostile = Trace.from_json(trace.to_json())
    lane = hostile.lanes[1]
    lane.label = HOSTILE
    for played in lane.rounds:
        for token in played.drafted:
            token.text = '<a href="javascript:alert(1)">x</a>'
        if played.emitted:
            played.emitted.text = HOSTILE
    for figure in (lane_chart(lane), speedup_chart(hostile), progress_chart(hostile)):
        text = json.dumps(figure.to_plotly_json(), default=str)
        assert "<img" not in text
        assert "<a " not in text


def test_the_speed_charts_draw_the_traces_own_numbers(trace):
    assert list(speedup_chart(trace).data[0].x) == [lane.metrics.speedup for lane in trace.lanes]
    for line, lane in zip(progress_chart(trace).data, trace.lanes, strict=True):
        assert line.x[-1] == lane.clock_s
        assert line.y[-1] == len(lane.token_ids)


def test_a_race_without_a_baseline_shows_tokens_per_second_instead_of_a_speedup():
    pair = tiny_pair()
    trace = new_trace(pair, "w1 w2", ["adaedl", "fixed:k=2"], Sampling(0.8), max_new_tokens=8)
    for _ in race(pair, trace):
        pass
    figure = speedup_chart(trace)
    assert list(figure.data[0].x) == [lane.metrics.tokens_per_s for lane in trace.lanes]
    assert figure.layout.title.text == "tokens per second"


def test_charts_can_be_drawn_before_the_first_round():
    trace = new_trace(tiny_pair(), "w1", LANES, Sampling(1.0))
    for figure in (*map(lane_chart, trace.lanes), speedup_chart(trace), progress_chart(trace)):
        assert figure.to_json()


def test_lanes_have_colours_of_their_own_and_the_baseline_is_grey():
    colours = lane_colours(["adaedl", "autoregressive", "fixed", "svip", "margin", "heuristic"])
    assert len(set(colours)) == 6
    assert colours[1] == BASELINE_COLOUR


# Messages


def test_messages_are_escaped():
    state = LoadState("x", "loading", HOSTILE, 0.5)
    for html in (status_html(HOSTILE), error_html(HOSTILE), models_html(state, None)):
        assert "<img" not in html
        assert HOSTILE in unescape(html)


def test_the_models_line_says_which_weights_are_used(models):
    html = models_html(LoadState(DEFAULT_PAIR, "ready", "ready on cpu/float32"), models.pair)
    assert "ready on cpu/float32: toy target and toy draft" in html
    assert "weights: random" in html


# Settings


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": " \n"}, "The prompt is empty"),
        ({"prompt": None}, "The prompt is empty"),
        ({"prompt": "a" * 100_000}, "The prompt has 100,000 characters"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"temperature": None}, "temperature is None"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": None}, "max_new_tokens is None"),
        ({"max_new_tokens": 100_000}, "at most 512"),
        ({"seed": -1}, "The seed is -1"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"lanes": []}, "no lanes"),
        ({"lanes": ["adaedl", "warp"]}, "There is no stopper 'warp'"),
        ({"lanes": ["fixed:k=banana"]}, "k is 'banana'"),
        ({"lanes": [f"fixed:k={k}" for k in range(1, 8)]}, "at most 6"),
        ({"pair": "nonsense"}, "There is no pair 'nonsense'"),
        ({"pair": ""}, "There is no pair ''"),
        ({"verification": "trust"}, "There is no verification 'trust'"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence_before_anything_runs(models, changes, sentence):
    with pytest.raises(UserError) as refusal:
        next(play(models, settings(**changes), Session()))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert models.take_turn().ahead == 0, "a refused race keeps its place in the queue"


def test_whole_numbers_of_the_browser_are_taken_as_such():
    read = Controls.read("a", None, None, 0.7, 96.0, 0.0, "shared_noise", 5.0, 1.0)
    assert (read.max_new_tokens, read.seed, read.top_k) == (96, 0, 5)
    assert isinstance(read.max_new_tokens, int)
    assert Controls.read("a", None, None, 0.7, 9.5, 0, "shared_noise", 0, 1.0).max_new_tokens == 9.5


def test_the_adaedl_form_makes_the_spec_of_what_it_shows():
    defaults = {name: make_stopper("adaedl").settings[name] for name in ADAEDL_LABELS}
    assert adaedl_spec(defaults) == "adaedl"
    spec = adaedl_spec({**defaults, "gamma": 0.3, "adapt": False, "max_draft": 6})
    stopper = make_stopper(spec)
    assert isinstance(stopper, AdaEDL)
    assert (stopper.gamma, stopper.adapt, stopper.max_draft) == (0.3, False, 6)
    with pytest.raises(UserError, match="gamma is None"):
        adaedl_spec({**defaults, "gamma": None})


# The race as the page plays it


def test_a_played_race_is_the_very_race_of_the_engine(models):
    session = Session()
    moments = list(play(models, settings(), session))
    assert moments[-1].ended
    assert moments[-1].sentence.startswith("Finished: 2 lanes, up to 40 tokens each, on cpu/float32")
    alone = new_trace(
        models.pair, "w1 w2 w3", ["autoregressive", "adaedl"], Sampling(0.8), max_new_tokens=40, seed=3
    )
    for _ in race(models.pair, alone):
        pass
    assert [lane.token_ids for lane in session.trace.lanes] == [lane.token_ids for lane in alone.lanes]
    assert to_frame(session.trace)["tokens"].tolist() == [40, 40]


def test_stop_ends_a_race_and_keeps_what_has_run(models):
    session = Session()
    playing = play(models, settings(max_new_tokens=90), session)
    moment = next(playing)
    while not moment.running:
        moment = next(playing)
    session.stop_requested = True
    assert next(playing).sentence == "Stopped after 0 rounds; what has run is kept."
    assert list(playing) == []
    assert list(play(models, settings(), session))[-1].sentence.startswith("Finished")


def test_a_second_race_waits_its_turn_and_says_how_many_are_before_it(models):
    first, second, third = (play(models, settings(), Session()) for _ in range(3))
    while not next(first).running:
        pass
    assert next(second).sentence.startswith("1 race before yours")
    assert next(third).sentence.startswith("2 races before yours")
    assert list(first)[-1].ended
    assert list(second)[-1].sentence.startswith("Finished")
    assert list(third)[-1].sentence.startswith("Finished")


def test_a_visitor_who_leaves_frees_the_device_and_the_place_in_the_queue(models):
    first, second = (play(models, settings(), Session()) for _ in range(2))
    while not next(first).running:
        pass
    next(second)
    first.close()
    second.close()
    assert list(play(models, settings(), Session()))[-1].sentence.startswith("Finished")


def test_stop_ends_the_waiting_too(models):
    first, session = play(models, settings(), Session()), Session()
    while not next(first).running:
        pass
    second = play(models, settings(), session)
    next(second)
    session.stop_requested = True
    assert next(second).sentence == "Stopped before the race began."
    first.close()


def test_the_queue_has_an_end(models):
    turns = [models.take_turn() for _ in range(MAX_WAITING + 1)]
    with pytest.raises(UserError, match="races wait for this device already"):
        models.take_turn()
    turns[0].leave()
    assert models.take_turn().ahead == MAX_WAITING
    assert turns[1].wait(0)


def test_a_pair_that_cannot_be_loaded_is_said_and_leaves_the_loaded_one_in_place(models, tmp_path):
    before = models.pair
    with pytest.raises(UserError, match="only models of the Hugging Face Hub"):
        list(play(models, settings(pair=f"{tmp_path}:{tmp_path}"), Session()))
    assert models.pair is before
    assert models.state.phase == "ready"
    assert list(play(models, settings(), Session()))[-1].sentence.startswith("Finished")


def test_a_default_pair_that_cannot_be_loaded_is_said_on_the_page(tmp_path):
    models = ModelsState(f"{tmp_path}:{tmp_path}")
    with pytest.raises(UserError, match=r"no config\.json"):
        models.load(models.default).result()
    assert models.state.phase == "failed"
    assert "config.json" in models_html(models.state, models.pair)


def test_a_host_who_names_no_pair_of_ours_is_told_on_the_page():
    models = ModelsState("no-such-pair")
    with pytest.raises(UserError, match="There is no pair 'no-such-pair'"):
        models.load(models.default).result()
    assert "no-such-pair" in models_html(models.state, models.pair)
