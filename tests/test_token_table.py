"""The table of a race's tokens; assets/js/token_table.js writes it too (tests/js/acceptance.test.js)."""

import csv
import io

from toys import tiny_pair

from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.system.csv_text import csv_text, escape_formula, whole_records
from adaedl.token_table import COLUMNS, token_rows, tokens_csv
from adaedl.trace import DraftedToken, Emitted, Lane, PairInfo, Round, SamplingInfo, Trace


def draft(token: int, **more) -> DraftedToken:
    values = {"text": f" {token}", "entropy": 1, "bound": 0.5, "score": None, "threshold": None}
    values |= {"top_prob": 0.5, "q": 0.5, "p": None, "beta": None, "u": None, "accepted": False}
    return DraftedToken(token, **values | more)


def hand_made() -> Trace:
    first = draft(5, accepted=True, p=0.25, beta=0.75, text="=1+1", threshold=0.4)
    correction, plain = Emitted(9, "�", "correction"), Emitted(8, " 8", "plain")
    rounds = [
        Round(0, 1, 0.5, 0.5, 1, "threshold", [first, draft(6), draft(7)], correction),
        Round(1, 1, 0, 1, 0, "max_draft", [], plain),
    ]
    lane = Lane("adaedl", {}, "adaedl:gamma=0.3", rounds, [5, 9, 8], "")
    pair, sampling = PairInfo("toy", "t", "d", "w"), SamplingInfo(0, 0, 1)
    return Trace(
        "now", {}, "cpu", "float32", pair, "w1", 1, 4, 9007199254740993, sampling, "shared_noise", [lane],
        token_bytes={"9": "e6b0"},
    )  # fmt: skip


def test_every_token_of_a_race_is_a_row():
    assert tokens_csv([hand_made()]) == (
        "lane_number,lane,seed,round,position,text_position,kind,id,text,bytes,accepted,q,p,entropy,bound,score,"
        "threshold,top_prob,beta,u,stop_reason\n"
        "1,adaedl:gamma=0.3,9007199254740993,1,1,1,accepted,5,'=1+1,,true,0.5,0.25,1,0.5,,0.4,0.5,0.75,,threshold\n"
        "1,adaedl:gamma=0.3,9007199254740993,1,2,2,rejected,6, 6,,false,0.5,,1,0.5,,,0.5,,,threshold\n"
        "1,adaedl:gamma=0.3,9007199254740993,1,3,3,discarded,7, 7,,false,0.5,,1,0.5,,,0.5,,,threshold\n"
        "1,adaedl:gamma=0.3,9007199254740993,1,4,2,correction,9,,e6b0,,,,,,,,,,,threshold\n"
        "1,adaedl:gamma=0.3,9007199254740993,2,1,3,plain,8, 8,,,,,,,,,,,,max_draft\n"
    )


def test_the_written_rows_of_a_lane_are_its_text():
    pair = tiny_pair("feature")
    trace = new_trace(pair, "w1 w2", ["fixed:k=3", "adaedl"], Sampling(0.8), max_new_tokens=12)
    for _ in race(pair, trace):
        pass
    rows = list(token_rows(trace))
    assert set(rows[0]) == set(COLUMNS)
    for number, lane in enumerate(trace.lanes, 1):
        own = [row for row in rows if row["lane_number"] == number]
        written = [row for row in own if row["kind"] not in ("rejected", "discarded")]
        assert [row["id"] for row in written] == lane.token_ids
        assert [row["text_position"] for row in written] == list(range(1, len(lane.token_ids) + 1))


def test_whole_records_drops_a_truncated_record_and_keeps_quoted_line_feeds():
    text = csv_text([["a", "b"], ["c\nd", 'e"f'], ["g\nh", "i"]])
    records = list(csv.reader(io.StringIO(text)))
    assert records[1:] == [["c\nd", 'e"f'], ["g\nh", "i"]]
    for length in range(len(text) + 1):
        complete = list(csv.reader(io.StringIO(whole_records(text[:length]))))
        assert complete == records[: len(complete)]
    assert whole_records(text) == text
    assert whole_records('"\n' * 200_001) == '"\n' * 200_000


def test_a_carriage_return_does_not_end_a_row():
    assert list(csv.reader(io.StringIO(csv_text([["a\rb", 1], ["c\r\nd", None]]), newline=""))) == [
        ["a\rb", "1"],
        ["c\r\nd", ""],
    ]


def test_only_texts_that_begin_like_a_formula_are_escaped():
    assert [escape_formula(text) for text in ("=a", "+a", "-a", "@a", "\ta", "\ra")] == [
        *("'=a", "'+a", "'-a", "'@a", "'\ta", "'\ra")
    ]
    assert [escape_formula(text) for text in ("", "a=b", " =a", "'=a")] == ["", "a=b", " =a", "'=a"]
