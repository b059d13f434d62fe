"""The parts of the page without a browser: settings, lanes, texts, static files, and the running race."""

import ast
import asyncio
import gzip
import json
import re
import shlex
from dataclasses import replace
from itertools import chain
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
from adaedl.racing import new_trace, race
from adaedl.request import NOISE_VERSION, Sampling
from adaedl.stopping import LIVE_STOPPERS, make_stopper, split_specs
from components import races
from components.parts import assets
from components.parts.bundle import bundles, wrapped
from components.parts.controls import DEFAULTS, EXAMPLES, Controls, pair_label
from components.parts.lanes_editor import check_lane
from components.parts.messages import say, say_error
from components.parts.settings import RaceSettings, draws_other_noise, read_lanes, read_seed
from components.parts.stoppers import page_data, stoppers_json
from components.parts.texts import LANGUAGES, in_all_languages, stopper_words, text, texts, translations
from components.parts.texts import english as in_english
from components.serving import page_head
from components.serving.api import describe_race
from components.serving.models_state import MAX_WAITING, LoadState, ModelsState, describe_models
from components.serving.page_head import PageHead
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
    """The state of a process with the default pair loaded, which is a tiny one here."""
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
        ({"system": 5}, "system is 5; it must be text"),
        ({"system": "half a \ud83e"}, "The system prompt is not valid text"),
        ({"system": "a" * 30_000}, "The system prompt has 30,000 characters; at most 20,000"),
        ({"continuation": "maybe"}, "continuation is 'maybe'; it must be true or false"),
        ({"system": "Be brief.", "continuation": True}, "A text to continue has no system prompt"),
    ],
)
def test_invalid_setting_is_refused_in_one_sentence_before_anything_runs(models, changes, sentence):
    with pytest.raises(UserError) as refusal:
        next(play(models, settings(**changes), Session()))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert models.take_turn().ahead == 0, "a refused race keeps its place in the queue"


def test_whole_numbers_from_the_browser_become_integers():
    settings = Controls.read("a", None, None, 0.7, 96.0, 0.0, "shared_noise", 5.0, 1.0)
    assert (settings.max_new_tokens, settings.seed, settings.top_k) == (96, 0, 5)
    assert isinstance(settings.max_new_tokens, int)
    assert Controls.read("a", None, None, 0.7, 8, str(2**63 - 1), "shared_noise", 0, 1.0).seed == 2**63 - 1
    assert Controls.read("a", None, None, 0.7, 9.5, 0, "shared_noise", 0, 1.0).max_new_tokens == 9.5


@pytest.mark.parametrize("seed", ["0", 7, "9007199254740993", " 5 ", 3.0])
def test_seed_is_read_exactly_from_text_or_a_number(seed):
    assert settings(seed=read_seed(seed)).seed == int(seed)
    settings(seed=read_seed(seed)).check()


@pytest.mark.parametrize("seed", [2.0**53 + 2, 1e18, -1e300])
def test_seed_that_may_be_rounded_is_refused(seed):
    with pytest.raises(UserError, match="a rounded number; send it as a string of digits"):
        read_seed(seed)


@pytest.mark.parametrize("seed", ["", "1e3", "0x10", "1_000", "٣", "9" * 5000, 1.5, None, True, [1]])
def test_seed_that_is_not_a_whole_number_is_refused(seed):
    with pytest.raises(UserError, match="it must be a whole number from 0 to 2"):
        settings(seed=read_seed(seed)).check()


@pytest.mark.parametrize("value", ["5", "{", '{"a": 1}', "[1]", '"adaedl"', "[" * 10_000])
def test_lanes_that_are_not_a_list_of_texts_are_refused(value):
    with pytest.raises(UserError, match="not a JSON list of stoppers"):
        read_lanes(value)


def test_link_has_every_setting():
    plain = settings(prompt="a & b = c\n“d”", lanes=["fixed:k=2", "adaedl:threshold=0.5,gamma=0.3", "svip"])
    for linked in (plain, replace(plain, system="Be brief & kind."), replace(plain, continuation=True)):
        query = urlencode({**linked.__dict__, "lanes": ",".join(linked.lanes)})
        assert RaceSettings.from_query(f"?__theme=dark&{query}", DEFAULTS) == linked


def test_link_may_omit_settings_and_needs_at_least_one():
    assert RaceSettings.from_query("?seed=7", DEFAULTS) == RaceSettings(**{**DEFAULTS.__dict__, "seed": 7})
    assert RaceSettings.from_query("?__theme=dark", DEFAULTS) is None
    assert RaceSettings.from_query("", DEFAULTS) is None


@pytest.mark.parametrize(
    ("query", "differs"),
    [
        (f"prompt=a&noise={NOISE_VERSION}", False),
        (f"prompt=a&noise={NOISE_VERSION - 1}", True),
        ("prompt=a&noise=", True),
        ("prompt=a", True),  # a link from before there were versions
        ("prompt=a&temperature=0", False),
        ("prompt=a&verification=speculative", False),
    ],
)
def test_link_from_another_noise_version_is_recognised(query, differs):
    assert draws_other_noise(RaceSettings.from_query(query, DEFAULTS), query) == differs


def test_damaged_link_is_refused():
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
def test_invalid_value_in_a_link_is_refused_like_a_typed_one(query, sentence):
    with pytest.raises(UserError) as refusal:
        RaceSettings.from_query(query, DEFAULTS).check()
    assert sentence in str(refusal.value)


def test_initial_settings_are_valid():
    DEFAULTS.check()
    for language in LANGUAGES:
        for key in EXAMPLES:
            settings(prompt=texts(language)[key]).check()


def test_pair_in_the_menu_names_both_models():
    assert pair_label(PRESETS["smollm2-1.7b"]) == (
        "smollm2-1.7b · SmolLM2-1.7B-Instruct + SmolLM2-135M-Instruct · 6 GiB"
    )
    assert "drafter" in pair_label(PRESETS[DEFAULT_PAIR])


# Lanes


def test_lanes_editor_offers_every_live_stopper_with_all_settings():
    offered = {each["name"]: each for each in json.loads(stoppers_json()) if not each["replay_only"]}
    assert list(offered) == list(LIVE_STOPPERS)
    for stopper in LIVE_STOPPERS.values():
        assert offered[stopper.name]["summary"]["en"] == stopper.summary
        settings = {setting["name"]: setting["value"] for setting in offered[stopper.name]["settings"]}
        assert settings == make_stopper(stopper.name).settings


def test_both_ends_of_every_setting_range_are_valid():
    for stopper in LIVE_STOPPERS.values():
        for setting in page_data(stopper)["settings"]:
            if setting["kind"] == "switch":
                continue
            assert setting["range"], f"{stopper.name}: {setting['name']}"
            for value in setting["range"]:
                assert "spec" in check_lane(f"{stopper.name}:{setting['name']}={value}")


def test_lane_is_shortened_or_refused_in_one_sentence():
    assert check_lane("adaedl:threshold=0.4,gamma=0.30")["spec"] == "adaedl:gamma=0.3"
    assert check_lane("adaedl:gamma=soft")["error"]["en"] == (
        "adaedl: entropy weight γ is 'soft'; it must be a number from 0 to 100."
    )
    assert "There is no stopper" in check_lane(HOSTILE)["error"]["en"]


# Texts


def test_both_languages_have_the_same_texts_and_placeholders():
    english, chinese = texts("en"), texts("zh")
    assert set(chinese) == set(english)
    for key in english:
        assert chinese[key].strip(), key
        assert sorted(re.findall(r"\{\w+\}", chinese[key])) == sorted(re.findall(r"\{\w+\}", english[key])), (
            key
        )


def test_no_text_is_missing_or_unused():
    source = "\n".join(file.read_text("utf-8") for file in SOURCES)
    parts = "|".join(sorted({key.partition(".")[0] for key in texts("en")}))
    named = set(re.findall(rf"""["'`]((?:{parts})\.[\w.]+)["'`]""", source))
    used = {key for key in named if not key.endswith((".js", ".css", ".csv"))}
    prefixes = set(re.findall(rf"""["'`]((?:{parts})\.\w[\w.]*)(?=\$?\{{)""", source))
    english = texts("en")
    steps = {key for key in used if re.fullmatch(r"learn\.\d", key)}  # the prefixes of the steps' texts
    # Their suffixes: `${key}.title`, or `${key}.${word}` with words that the step names.
    suffixes = set(re.findall(r"\$\{[^}]*\}\.([\w.]+)", source)) | set(re.findall(r'"(\w+)"', source))
    assert {key for key in used - steps if key not in english} == set()
    used |= {key for key in english if re.sub(r"^learn\.\d\.", "", key) in suffixes}
    unused = {key for key in english if key not in used and not key.startswith(tuple(prefixes))}
    assert unused == set()


def test_label_without_a_text_is_an_error_at_once():
    assert text("page.run").key == "page.run"
    with pytest.raises(KeyError):
        text("page.walk")
    with pytest.raises(KeyError):
        say("page.walk")
    assert set(translations().translations_dict) == set(LANGUAGES)


ZH = texts("zh")


def templates() -> set[str]:
    """Return the templates of UserError and Sentence in the page, and in those parts of the engine that the
    page runs."""
    shell_only = {
        "cli",
        "distill",
        "peers",
        "bench.py",
        "bench_pairs.py",
        "check.py",
        "launch.py",
        "generation",
        "library.py",
        "shapes.py",
    }
    shell_only |= {"generation", "assisted.py", "assisted_models.py", "ray_cluster.py", "ray_workers.py"}
    shell_only |= {"neighbours.py", "neighbour_engine.py", "gradio_internals.py", "study"}
    templates = set()
    for file in [*PROJECT.glob("adaedl/**/*.py"), *COMPONENTS]:
        if shell_only & set(file.relative_to(PROJECT).parts):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "Sentence"):
                assert not isinstance(node.args[0], ast.JoinedStr), f"{file.name}: {ast.unparse(node)}"
                if isinstance(node.args[0], ast.Constant):
                    templates.add(node.args[0].value)
    return templates


def test_every_sentence_for_visitors_has_a_chinese_translation():
    chinese = json.loads((assets.ASSETS / "text" / "sentences.zh.json").read_text("utf-8"))
    assert templates() - set(chinese) == set()
    for english, words in chinese.items():
        required, used = placeholders(english), placeholders(words)
        assert words.format(*[1.5 if spec else "" for _, spec, _ in required])
        assert used in ([], required) or all(name for name, _, _ in used), english


def placeholders(template: str) -> list[tuple]:
    return [tuple(field[1:]) for field in Formatter().parse(template) if field[1] is not None]


@pytest.mark.parametrize(
    ("error", "chinese"),
    [
        (
            lambda: settings(max_new_tokens=0).check(),
            f"{ZH['page.tokens']}为 0；它必须是不小于 1 的整数。",
        ),
        (lambda: settings(temperature=1e-9).check(), f"{ZH['page.temperature']}为 1e-09；"),
        (
            lambda: settings(temperature=99).check(),
            f"{ZH['page.temperature']}为 99；它必须在 0 到 10 之间",
        ),
        (lambda: settings(top_k=-1).check(), "Top-k 为 -1；它必须是 0 到 1,000,000 的整数，0 表示关闭。"),
        (lambda: settings(top_p=2).check(), "Top-p 为 2；它必须大于 0 且不超过 1，1 表示关闭。"),
        (lambda: make_stopper("adaedl:gamma=-1"), f"{stopper_words('zh')['entropy weight']} γ 为 -1；"),
        (lambda: make_stopper("adaedel"), "你是指 adaedl 吗？"),
        (lambda: make_stopper(HOSTILE), f"没有名为 {HOSTILE!r} 的停止规则"),
    ],
)
def test_refusal_has_its_values_in_both_languages(error, chinese):
    with pytest.raises(UserError) as refusal:
        error()
    assert chinese in json.loads(say_error(refusal.value))["error"]["zh"]


def test_error_names_a_parameter_as_its_reader_knows_it():
    with pytest.raises(UserError) as refusal:
        settings(max_new_tokens=0).check()
    assert str(refusal.value) == "max_new_tokens is 0; it must be a whole number of at least 1."
    label = texts()["page.tokens"]
    on_the_page = in_all_languages(refusal.value.sentence)["en"]
    assert on_the_page == f"{label} is 0; it must be a whole number of at least 1."
    in_the_shell = refusal.value.sentence.naming(lambda parameter: parameter.option)
    assert in_the_shell == "--max-new-tokens is 0; it must be a whole number of at least 1."
    nested = UserError("No. {}", refusal.value).sentence.naming(lambda parameter: "It")
    assert nested == "No. It is 0; it must be a whole number of at least 1."


def test_untranslated_sentence_stays_english_and_its_braces_are_harmless():
    assert in_all_languages(UserError("{0} {x}").sentence) == {"en": "{0} {x}", "zh": "{0} {x}"}
    assert in_all_languages(Sentence("a {}", "{0.__class__}"))["zh"] == "a {0.__class__}"


@pytest.mark.parametrize(("kind", "page"), [("text/html", True), ("application/octet-stream", False)])
def test_only_html_pages_get_the_language_script(kind, page):
    body = b"<html><head></head></html>"
    app = Starlette(
        routes=[Route("/", lambda _: Response(body, media_type=kind))],
        middleware=[Middleware(PageHead)],
    )
    answer = TestClient(app).get("/", headers={"accept-encoding": "identity"})
    assert (b"zh-CN" in answer.content) == page
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_page_is_compressed_outside_the_event_loop(monkeypatch):
    def compress(body: bytes) -> bytes:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return gzip.compress(body)

    monkeypatch.setitem(page_head.COMPRESSIONS, "gzip", compress)
    routes = [Route("/", lambda _: Response(b"<html><head></head></html>", media_type="text/html"))]
    app = Starlette(routes=routes, middleware=[Middleware(PageHead)])
    answer = TestClient(app).get("/", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"zh-CN" in answer.content


def test_page_contains_only_the_texts_of_its_labels():
    text("page.run")
    translated = translations().translations
    for language in LANGUAGES:
        assert translated[language]["page.run"] == texts(language)["page.run"]
        assert "learn.title" not in translated[language]  # a module of the page loads this text


# Messages


def test_status_line_receives_data_and_never_html():
    assert json.loads(say("page.status_queue", ahead=2)) == {
        "key": "page.status_queue",
        "values": {"ahead": 2},
    }
    assert json.loads(say_error(UserError(HOSTILE)))["error"]["en"] == HOSTILE


@pytest.mark.parametrize(("rounds", "words"), [(1, "after 1 round."), (2, "after 2 rounds.")])
def test_reason_in_english_has_its_plurals(rounds, words):
    reason = in_english("host.status_time_limit", {"seconds": 180, "rounds": rounds})
    assert reason == f"Stopped at the time limit of 180 s, {words} Results so far are kept."


def test_models_line_names_the_weights(models):
    line = json.loads(describe_models(LoadState("ready", "ready on cpu/float32"), models.pair))
    assert (line["device"], line["target"], line["draft"]) == ("cpu/float32", "toy target", "toy draft")
    assert line["weights"].startswith("random")


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
def test_served_files_have_their_type_and_are_cached_indefinitely(served, file, kind):
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
def test_no_other_file_is_served(served, file):
    assert served.get(f"/{assets.address()}/{file}").status_code == 404


def test_files_are_served_below_a_proxy_path():
    app = Starlette(routes=assets.routes())
    below = TestClient(app, root_path="/spaces/one")
    assert below.get(f"/{assets.address()}/js/text.js").status_code == 200


def test_every_module_is_in_one_bundle_and_the_first_bundle_needs_no_other(served):
    defined = {}
    for name, bundle in bundles().items():
        answer = served.get(f"/{assets.address()}/{name}")
        assert (answer.text, answer.headers["content-type"].split(";")[0]) == (bundle, "text/javascript")
        defined[name] = re.findall(r'^define\("([^"]+)"', bundle, re.MULTILINE)
        loaded = set(re.findall(r'\$load\("([^"]+)"\)', bundle))
        assert loaded <= {module for modules in defined.values() for module in modules}
    modules = [path.relative_to(assets.ASSETS / "js").as_posix() for path in assets.ASSETS.glob("js/**/*.js")]
    of_files = {name for name in modules if name.startswith("html/")}  # components/race_page.py bundles them
    assert sorted(chain(*defined.values())) == sorted(set(modules) - {"registry.js"} - of_files)
    assert {"player.js", "share.js", "open.js"} <= set(defined["bundle/first.js"])
    assert {"explore/explore.js", "learn/page.js", "sweep/results.js"} <= set(defined["bundle/rest.js"])


def test_bundled_module_keeps_its_imports_and_exports():
    for unknown in ('import Rule, { never } from "./a.js";', "export let changing = 1;", "export { a };"):
        with pytest.raises(ValueError, match=re.escape(f"cannot bundle: {unknown}")):
            wrapped("explore/b.js", f"{unknown}\n")
    module = """import { a, b as c } from "../words.js";
import * as all from "./rules/all.js";
import Rule from "./rules/rule.js";
export const HERE = import.meta.url;
export async function later() {
  return import(`./${a}.js`);
}
export { d, e as f } from "./c.js";
export default class Own extends Rule {}
"""
    assert (
        wrapped("explore/b.js", module)
        == """define("explore/b.js", ($load, $meta, $importing) => {
const { a, b: c } = $load("words.js");
const all = $load("explore/rules/all.js");
const { default: Rule } = $load("explore/rules/rule.js");
const HERE = $meta.url;
async function later() {
  return $importing(`./${a}.js`);
}
class Own extends Rule {}
return { d: $load("explore/c.js").d, f: $load("explore/c.js").e, HERE, later, default: Own };
});
"""
    )


def test_recorded_races_are_small_and_name_their_commands():
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
        values = dict(zip(options[::2], options[1::2], strict=True))
        assert [make_stopper(spec) for spec in split_specs(values["--lanes"])]
        assert values.get("--pair", DEFAULT_PAIR) in PRESETS


# The running race


def words(update) -> str:
    return json.loads(update.words)["key"]


def begin(models, session, **changes):
    """Start a race and play its first round."""
    playing = play(models, settings(**changes), session)
    while session.trace is None:
        next(playing)
    return playing


def test_race_on_the_page_equals_the_engines_race(models):
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


def test_first_round_is_reported_at_once(models):
    session = Session()
    begin(models, session)
    assert sum(len(lane.rounds) for lane in session.trace.lanes) == 1


def test_stop_ends_a_race_and_keeps_its_rounds(models):
    session = Session()
    playing = begin(models, session, max_new_tokens=90)
    session.stop_requested = True
    ended = next(playing)
    assert json.loads(ended.words) == {"key": "page.status_stopped", "values": {"rounds": 1}}
    assert ended.ended
    assert list(playing) == []
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_waiting_race_reports_how_many_are_ahead(models):
    first = begin(models, Session())
    second, third = (play(models, settings(), Session()) for _ in range(2))
    assert json.loads(next(second).words)["values"] == {"ahead": 1}
    assert json.loads(next(third).words)["values"] == {"ahead": 2}
    assert list(first)[-1].ended
    assert words(list(second)[-1]) == "page.status_finished"
    assert words(list(third)[-1]) == "page.status_finished"


def test_visitor_who_leaves_frees_the_device_and_the_place_in_the_queue(models):
    first = begin(models, Session())
    second = play(models, settings(), Session())
    next(second)
    first.close()
    second.close()
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_stop_ends_a_waiting_race(models):
    first, session = begin(models, Session()), Session()
    second = play(models, settings(), session)
    next(second)
    session.stop_requested = True
    assert words(next(second)) == "page.status_stopped_early"
    first.close()


def test_queue_has_a_maximum_length(models):
    turns = [models.take_turn() for _ in range(MAX_WAITING + 1)]
    with pytest.raises(UserError, match="The queue for this device is full"):
        models.take_turn()
    turns[0].leave()
    assert models.take_turn().ahead == MAX_WAITING
    assert turns[1].wait(0)


def test_pair_that_cannot_be_loaded_is_refused_and_the_loaded_pair_stays(models, tmp_path):
    before = models.pair, models.state.phase
    with pytest.raises(UserError, match="only models from the Hugging Face Hub"):
        list(play(models, settings(pair=f"{tmp_path}:{tmp_path}"), Session()))
    assert (models.pair, models.state.phase) == before
    assert words(list(play(models, settings(), Session()))[-1]) == "page.status_finished"


def test_page_reports_a_default_pair_that_cannot_be_loaded(tmp_path):
    models = ModelsState(f"{tmp_path}:{tmp_path}")
    with pytest.raises(UserError, match=r"no config\.json"):
        models.load(models.default).result()
    assert models.state.phase == "failed"
    assert "config.json" in describe_models(models.state, models.pair)


def test_page_reports_an_unknown_pair_of_the_host():
    models = ModelsState("no-such-pair")
    with pytest.raises(UserError, match="There is no pair 'no-such-pair'"):
        models.load(models.default).result()
    assert "no-such-pair" in describe_models(models.state, models.pair)


def test_api_reports_a_race_and_finally_its_whole_trace(models):
    session = Session()
    assert describe_race(session, False) == {"state": "waiting", "lanes": [], "seconds_to_wait": None}
    playing = begin(models, session)
    update = describe_race(session, False)
    assert (update["state"], "trace" in update) == ("racing", False)
    list(playing)
    update = describe_race(session, True)
    assert update["state"] == "finished"
    assert update["trace"] == session.trace.to_dict()
    assert [lane["text"] for lane in update["lanes"]] == [lane.text for lane in session.trace.lanes]
    assert update["lanes"][1]["metrics"]["speedup"] == session.trace.lanes[1].metrics.speedup
