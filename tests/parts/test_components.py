"""What the page is made of, without a browser: settings, lanes, texts, static files, and the race as it is
played."""

import ast
import json
import re
import shlex
from string import Formatter
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from toys import tiny_pair

from adaedl.errors import Sentence, UserError
from adaedl.metrics import to_frame
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.race import new_trace, race
from adaedl.request import NOISE_VERSION, Sampling
from adaedl.stopping import LIVE_STOPPERS, make_stopper, split_specs
from components import races
from components.parts import assets
from components.parts.controls import DEFAULTS, EXAMPLES, Controls, pair_label
from components.parts.lanes_editor import check_lane
from components.parts.messages import say, say_error
from components.parts.settings import RaceSettings, draws_other_noise, read_lanes, read_seed
from components.parts.stoppers import page_data, stoppers_json
from components.parts.texts import LANGUAGES, in_all_languages, text, texts, translations
from components.serving.api import describe_race
from components.serving.language import ChineseBrowsers
from components.serving.models_state import MAX_WAITING, LoadState, ModelsState, describe_models
from components.serving.race_session import Session, play

HOSTILE = '<img src=x onerror="window.hacked=1">'
PROJECT = assets.ASSETS.parent
COMPONENTS = [*PROJECT.glob("components/**/*.py")]
SOURCES = [*assets.ASSETS.glob("js/**/*.js"), *COMPONENTS]


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
        ({"verification": "trust"}, "There is no verification rule 'trust'"),
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
    assert Controls.read("a", None, None, 0.7, 8, str(2**63 - 1), "shared_noise", 0, 1.0).seed == 2**63 - 1
    assert Controls.read("a", None, None, 0.7, 9.5, 0, "shared_noise", 0, 1.0).max_new_tokens == 9.5


@pytest.mark.parametrize("seed", ["0", 7, "9007199254740993", " 5 ", 3.0])
def test_a_seed_is_read_whole_from_a_text_or_a_number(seed):
    assert settings(seed=read_seed(seed)).seed == int(seed)
    settings(seed=read_seed(seed)).check()


@pytest.mark.parametrize("seed", ["", "1e3", "0x10", "1_000", "٣", "9" * 5000, 1.5, None, True, [1]])
def test_what_is_no_whole_number_is_no_seed(seed):
    with pytest.raises(UserError, match="it must be a whole number from 0 to 2"):
        settings(seed=read_seed(seed)).check()


@pytest.mark.parametrize("value", ["5", "{", '{"a": 1}', "[1]", '"adaedl"', "[" * 10_000])
def test_lanes_that_are_no_list_of_texts_are_refused(value):
    with pytest.raises(UserError, match="not a JSON list of stoppers"):
        read_lanes(value)


def test_the_query_of_a_link_holds_every_setting():
    linked = settings(prompt="a & b = c\n“d”", lanes=["fixed:k=2", "adaedl:threshold=0.5,gamma=0.3", "svip"])
    query = urlencode({**linked.__dict__, "lanes": ",".join(linked.lanes)})
    assert RaceSettings.from_query(f"?__theme=dark&{query}", DEFAULTS) == linked


def test_a_link_may_leave_settings_out_and_one_without_any_is_none():
    assert RaceSettings.from_query("?seed=7", DEFAULTS) == RaceSettings(**{**DEFAULTS.__dict__, "seed": 7})
    assert RaceSettings.from_query("?__theme=dark", DEFAULTS) is None
    assert RaceSettings.from_query("", DEFAULTS) is None


@pytest.mark.parametrize(
    ("query", "differs"),
    [
        (f"prompt=a&noise={NOISE_VERSION}", False),
        (f"prompt=a&noise={NOISE_VERSION - 1}", True),
        ("prompt=a&noise=", True),
        ("prompt=a", True),  # as links were before there were versions
        ("prompt=a&temperature=0", False),
        ("prompt=a&verification=speculative", False),
    ],
)
def test_a_link_of_other_noise_is_known_where_noise_is_drawn(query, differs):
    assert draws_other_noise(RaceSettings.from_query(query, DEFAULTS), query) == differs


def test_a_damaged_link_is_refused():
    with pytest.raises(UserError, match="ask for the complete link"):
        RaceSettings.from_query("temperature=0.5&damaged=1", DEFAULTS)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("temperature=hot", "temperature is 'hot'"),
        ("temperature=nan", "temperature is nan"),
        ("seed=1e999", "The seed is '1e999'"),
        ("seed=9223372036854775808", "The seed is 9223372036854775808"),
        ("lanes=", "no lanes"),
        ("lanes=warp", "There is no stopper 'warp'"),
        ("prompt=", "The prompt is empty"),
        ("pair=/etc/passwd", "There is no pair"),
        ("max_new_tokens=5000", "at most 512"),
        ("verification=trust", "There is no verification rule 'trust'"),
        ("top_p=2", "top_p is 2"),
    ],
)
def test_a_bad_value_in_a_link_is_refused_as_a_typed_one_is(query, sentence):
    with pytest.raises(UserError) as refusal:
        RaceSettings.from_query(query, DEFAULTS).check()
    assert sentence in str(refusal.value)


def test_the_page_begins_with_settings_that_will_do():
    DEFAULTS.check()
    for prompt in EXAMPLES:
        settings(prompt=prompt).check()


def test_a_pair_in_the_menu_names_both_models():
    assert pair_label(PRESETS["smollm2-1.7b"]) == (
        "smollm2-1.7b · SmolLM2-1.7B-Instruct + SmolLM2-135M-Instruct · 6 GiB"
    )
    assert "drafter" in pair_label(PRESETS[DEFAULT_PAIR])


# Lanes


def test_the_lanes_editor_offers_every_stopper_that_can_race_with_all_its_settings():
    told = {each["name"]: each for each in json.loads(stoppers_json()) if not each["replay_only"]}
    assert list(told) == list(LIVE_STOPPERS)
    for stopper in LIVE_STOPPERS.values():
        assert told[stopper.name]["summary"]["en"] == stopper.summary
        settings = {setting["name"]: setting["value"] for setting in told[stopper.name]["settings"]}
        assert settings == make_stopper(stopper.name).settings


def test_every_number_setting_has_a_range_whose_ends_will_do():
    for stopper in LIVE_STOPPERS.values():
        for setting in page_data(stopper)["settings"]:
            if setting["kind"] == "switch":
                continue
            assert setting["range"], f"{stopper.name}: {setting['name']}"
            for value in setting["range"]:
                assert "spec" in check_lane(f"{stopper.name}:{setting['name']}={value}")


def test_a_lane_is_checked_and_shortened_or_refused_in_one_sentence():
    assert check_lane("adaedl:threshold=0.4,gamma=0.30")["spec"] == "adaedl:gamma=0.3"
    assert check_lane("adaedl:gamma=soft")["error"]["en"] == (
        "adaedl: gamma is 'soft'; it must be a number from 0 to 100."
    )
    assert "There is no stopper" in check_lane(HOSTILE)["error"]["en"]


# Texts


def test_both_languages_have_the_same_texts_with_the_same_placeholders():
    english, chinese = texts("en"), texts("zh")
    assert set(chinese) == set(english)
    for key in english:
        assert chinese[key].strip(), key
        assert sorted(re.findall(r"\{\w+\}", chinese[key])) == sorted(re.findall(r"\{\w+\}", english[key])), (
            key
        )


def test_no_text_is_missing_and_none_is_unused():
    source = "\n".join(file.read_text("utf-8") for file in SOURCES)
    parts = "|".join(sorted({key.partition(".")[0] for key in texts("en")}))
    named = set(re.findall(rf"""["'`]((?:{parts})\.[\w.]+)["'`]""", source))
    used = {key for key in named if not key.endswith((".js", ".css", ".csv"))}
    made = set(re.findall(rf"""["'`]((?:{parts})\.\w[\w.]*)(?=\$?\{{)""", source))
    english = texts("en")
    steps = {key for key in used if re.fullmatch(r"learn\.\d", key)}  # what a step's texts begin with
    # …and end with: `${key}.title`, or `${key}.${word}` with words that the step names.
    ends = set(re.findall(r"\$\{[^}]*\}\.([\w.]+)", source)) | set(re.findall(r'"(\w+)"', source))
    assert {key for key in used - steps if key not in english} == set()
    used |= {key for key in english if re.sub(r"^learn\.\d\.", "", key) in ends}
    unused = {key for key in english if key not in used and not key.startswith(tuple(made))}
    assert unused == set()


def test_a_label_without_a_text_is_an_error_at_once():
    assert text("page.run").key == "page.run"
    with pytest.raises(KeyError):
        text("page.walk")
    with pytest.raises(KeyError):
        say("page.walk")
    assert set(translations().translations_dict) == set(LANGUAGES)


def templates() -> set[str]:
    """What UserError and Sentence are given in all of the engine that the page runs, and in the page."""
    shell_only = {
        "cli",
        "distill",
        "peers",
        "bench.py",
        "bench_pairs.py",
        "check.py",
        "launch.py",
        "shapes.py",
    }
    shell_only |= {"neighbours.py", "neighbour_engine.py", "gradio_internals.py", "study"}
    found = set()
    for file in [*PROJECT.glob("adaedl/**/*.py"), *COMPONENTS]:
        if shell_only & set(file.relative_to(PROJECT).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "Sentence"):
                assert not isinstance(node.args[0], ast.JoinedStr), f"{file.name}: {ast.unparse(node)}"
                if isinstance(node.args[0], ast.Constant):
                    found.add(node.args[0].value)
    return found


def test_every_sentence_of_the_engine_that_a_visitor_may_read_is_there_in_chinese():
    chinese = json.loads((assets.ASSETS / "text" / "sentences.zh.json").read_text("utf-8"))
    assert templates() - set(chinese) == set()
    for english, words in chinese.items():
        given, used = placeholders(english), placeholders(words)
        assert words.format(*[1.5 if spec else "" for _, spec, _ in given])
        assert used in ([], given) or all(name for name, _, _ in used), english


def placeholders(template: str) -> list[tuple]:
    return [tuple(field[1:]) for field in Formatter().parse(template) if field[1] is not None]


@pytest.mark.parametrize(
    ("error", "chinese"),
    [
        (lambda: settings(max_new_tokens=0).check(), "max_new_tokens 为 0；它必须是不小于 1 的整数。"),
        (lambda: settings(temperature=99).check(), "temperature 为 99；它必须在 0 到 10 之间，例如 0.7。"),
        (lambda: settings(top_k=-1).check(), "top_k 为 -1；它必须是 0 到 1,000,000 的整数；0 表示关闭。"),
        (lambda: settings(top_p=2).check(), "top_p 为 2；它必须大于 0 且不超过 1；1 表示关闭。"),
        (lambda: make_stopper("adaedel"), "你是指 adaedl 吗？"),
        (lambda: make_stopper(HOSTILE), f"没有名为 {HOSTILE!r} 的停止规则"),
    ],
)
def test_a_refusal_comes_in_both_languages_with_its_values(error, chinese):
    with pytest.raises(UserError) as refusal:
        error()
    told = json.loads(say_error(refusal.value))["error"]
    assert told["en"] == str(refusal.value)
    assert chinese in told["zh"]


def test_a_sentence_that_no_language_has_stays_english_and_braces_in_it_are_harmless():
    assert in_all_languages(UserError("{0} {x}").sentence) == {"en": "{0} {x}", "zh": "{0} {x}"}
    assert in_all_languages(Sentence("a {}", "{0.__class__}"))["zh"] == "a {0.__class__}"


@pytest.mark.parametrize(("kind", "page"), [("text/html", True), ("application/octet-stream", False)])
def test_only_a_page_is_given_the_line_that_corrects_a_browsers_chinese(kind, page):
    body = b"<html><head></head></html>"
    app = Starlette(
        routes=[Route("/", lambda _: Response(body, media_type=kind))],
        middleware=[Middleware(ChineseBrowsers)],
    )
    answer = TestClient(app).get("/")
    assert (b"zh-CN" in answer.content) == page
    assert int(answer.headers["content-length"]) == len(answer.content)


# Messages


def test_the_status_line_is_told_data_never_html():
    assert json.loads(say("page.status_queue", ahead=2)) == {
        "key": "page.status_queue",
        "values": {"ahead": 2},
    }
    assert json.loads(say_error(UserError(HOSTILE)))["error"]["en"] == HOSTILE


def test_the_models_line_says_which_weights_are_used(models):
    told = json.loads(describe_models(LoadState("ready", "ready on cpu/float32"), models.pair))
    assert (told["device"], told["target"], told["draft"]) == ("cpu/float32", "toy target", "toy draft")
    assert told["weights"].startswith("random")


# Static files


@pytest.fixture(scope="module")
def served() -> TestClient:
    return TestClient(Starlette(routes=assets.routes()))


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("js/text.js", "text/javascript"),
        ("js/player.css", "text/css"),
        ("text/zh.json", "application/json"),
        ("examples/index.json", "application/json"),
        ("vendor/plotly.min.js", "text/javascript"),
    ],
)
def test_files_of_the_browser_have_their_type_and_are_kept_for_good(served, file, kind):
    answer = served.get(f"/{assets.address()}/{file}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == kind
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "file",
    [
        "js/../drafter.safetensors",
        "js/%2e%2e/drafter.safetensors",
        "vendor/widgetbundle.js",
        "vendor/",
        "js/",
    ],
)
def test_nothing_else_is_served(served, file):
    assert served.get(f"/{assets.address()}/{file}").status_code == 404


def test_files_are_found_where_a_proxy_serves_the_page_below_a_path():
    app = Starlette(routes=assets.routes())
    below = TestClient(app, root_path="/spaces/one")
    assert below.get(f"/{assets.address()}/js/text.js").status_code == 200


def test_recorded_races_are_there_small_and_say_how_they_were_made():
    folder = assets.ASSETS / "examples"
    entries = json.loads((folder / "index.json").read_text("utf-8"))
    assert len(entries) >= 4
    assert entries == races.recorded()
    assert {entry["file"] for entry in entries} == {
        file.name for file in folder.glob("*.json") if file.name != "index.json"
    }
    for entry in entries:
        assert (folder / entry["file"]).stat().st_size < 1_500_000
    for entry in races.RACES:
        assert set(entry["title"]) == set(entry["line"]) == set(LANGUAGES)
        assert entry["command"].startswith("python -m adaedl race ")
        assert entry["command"].endswith(f"--json assets/examples/{entry['file']}")
        options = shlex.split(entry["command"])[5:]
        asked = dict(zip(options[::2], options[1::2], strict=True))
        assert [make_stopper(spec) for spec in split_specs(asked["--lanes"])]
        assert asked.get("--pair", DEFAULT_PAIR) in PRESETS


# The race as the page plays it


def words(update) -> str:
    return json.loads(update.words)["key"]


def begin(models, session, **changes):
    """A race whose first round has been played."""
    playing = play(models, settings(**changes), session)
    while session.trace is None:
        next(playing)
    return playing


def test_a_played_race_is_the_very_race_of_the_engine(models):
    session = Session()
    updates = list(play(models, settings(), session))
    assert updates[-1].ended
    assert json.loads(updates[-1].words) == {
        "key": "page.status_finished",
        "values": {"lanes": 2, "tokens": 40, "device": "cpu/float32"},
    }
    alone = new_trace(
        models.pair, "w1 w2 w3", ["autoregressive", "adaedl"], Sampling(0.8), max_new_tokens=40, seed=3
    )
    for _ in race(models.pair, alone):
        pass
    assert [lane.token_ids for lane in session.trace.lanes] == [lane.token_ids for lane in alone.lanes]
    assert to_frame(session.trace)["tokens"].tolist() == [40, 40]


def test_the_first_round_is_told_at_once(models):
    session = Session()
    begin(models, session)
    assert sum(len(lane.rounds) for lane in session.trace.lanes) == 1


def test_stop_ends_a_race_and_keeps_what_has_run(models):
    session = Session()
    playing = begin(models, session, max_new_tokens=90)
    session.stop_requested = True
    ended = next(playing)
    assert json.loads(ended.words) == {"key": "page.status_stopped", "values": {"rounds": 1}}
    assert ended.ended
    assert list(playing) == []
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_a_second_race_waits_its_turn_and_says_how_many_are_before_it(models):
    first = begin(models, Session())
    second, third = (play(models, settings(), Session()) for _ in range(2))
    assert json.loads(next(second).words)["values"] == {"ahead": 1}
    assert json.loads(next(third).words)["values"] == {"ahead": 2}
    assert list(first)[-1].ended
    assert words(list(second)[-1]) == "page.status_finished"
    assert words(list(third)[-1]) == "page.status_finished"


def test_a_visitor_who_leaves_frees_the_device_and_the_place_in_the_queue(models):
    first = begin(models, Session())
    second = play(models, settings(), Session())
    next(second)
    first.close()
    second.close()
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_stop_ends_the_waiting_too(models):
    first, session = begin(models, Session()), Session()
    second = play(models, settings(), session)
    next(second)
    session.stop_requested = True
    assert words(next(second)) == "page.status_stopped_early"
    first.close()


def test_the_queue_has_an_end(models):
    turns = [models.take_turn() for _ in range(MAX_WAITING + 1)]
    with pytest.raises(UserError, match="races are already waiting for this device"):
        models.take_turn()
    turns[0].leave()
    assert models.take_turn().ahead == MAX_WAITING
    assert turns[1].wait(0)


def test_a_pair_that_cannot_be_loaded_is_said_and_leaves_the_loaded_one_in_place(models, tmp_path):
    before = models.pair, models.state.phase
    with pytest.raises(UserError, match="only models from the Hugging Face Hub"):
        list(play(models, settings(pair=f"{tmp_path}:{tmp_path}"), Session()))
    assert (models.pair, models.state.phase) == before
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_a_default_pair_that_cannot_be_loaded_is_said_on_the_page(tmp_path):
    models = ModelsState(f"{tmp_path}:{tmp_path}")
    with pytest.raises(UserError, match=r"no config\.json"):
        models.load(models.default).result()
    assert models.state.phase == "failed"
    assert "config.json" in describe_models(models.state, models.pair)


def test_a_host_who_names_no_pair_of_ours_is_told_on_the_page():
    models = ModelsState("no-such-pair")
    with pytest.raises(UserError, match="There is no pair 'no-such-pair'"):
        models.load(models.default).result()
    assert "no-such-pair" in describe_models(models.state, models.pair)


def test_the_api_reports_a_race_and_at_its_end_the_whole_trace(models):
    session = Session()
    assert describe_race(session, False) == {"state": "waiting", "lanes": [], "seconds_to_wait": None}
    playing = begin(models, session)
    told = describe_race(session, False)
    assert (told["state"], "trace" in told) == ("racing", False)
    list(playing)
    told = describe_race(session, True)
    assert told["state"] == "finished"
    assert told["trace"] == session.trace.to_dict()
    assert [lane["text"] for lane in told["lanes"]] == [lane.text for lane in session.trace.lanes]
    assert told["lanes"][1]["metrics"]["speedup"] == session.trace.lanes[1].metrics.speedup
