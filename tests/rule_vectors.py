"""Compare the decisions of stoppers, over all their settings, with those of their JavaScript rules in a
page."""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

from playwright.sync_api import Page

from adaedl.acceptance import count_text
from adaedl.errors import UserError
from adaedl.stopping import DraftStep, Oracle, Stopper, format_spec, settings_of
from adaedl.times import Times
from components.parts import assets

ROUNDS = 25
TIMED_ROUNDS = 120  # for a rule that chooses lengths from times, which learns slowly
MOST_STEPS = 20  # in a round, even if the rule would keep drafting
RANDOM_SETTINGS = 8


def page() -> str:
    """Return the HTML of a page that repeats the calls of a stopper on its rule and returns the answers, for
    the stoppers that are registered now."""
    return f"""<!doctype html><meta charset="utf-8"><title>rules</title><link rel="icon" href="data:,">
<script type="module">
const explore = new URL("/{assets.address()}/js/explore/", location.href);
const {{ open }} = await import(new URL("../open.js", explore));
const {{ loadRules, makeRule }} = await open("explore/rules.js");
await loadRules();
window.decide = async (source, vectors) => {{
  const address = source.startsWith("rules/") ? new URL(source, explore)
    : URL.createObjectURL(new Blob([source.replaceAll("../", explore)], {{ type: "text/javascript" }}));
  const {{ default: Rule }} = await import(address);
  return vectors.map(({{ settings, calls }}) => {{
    const rule = new Rule(settings, makeRule);
    const first = {{ max_draft: rule.max_draft, keep_last: rule.keep_last }};
    return [first, ...calls.map(([name, ...values]) => {{
      if (name === "acceptable") rule.acceptable = values[0];
      if (name === "expect") rule.expect(values[0]);
      if (name === "expect_acceptance") rule.expectAcceptance(values[0]);
      if (name === "begin") return rule.beginRound();
      if (name === "step") return [rule.shouldStop(values[0]), rule.score, rule.threshold];
      if (name === "observe") rule.observe(...values);
      if (name === "times") rule.observeTimes(...values);
      return null;
    }})];
  }});
}};
window.ready = true;
</script>"""


def differences(browser_page: Page, stopper: type[Stopper], source: str) -> list[str]:
    """Repeat all calls of a stopper on its JavaScript rule; return the first different answer of each
    variant.

    Args:
        browser_page: shows `page()`.
        source: the rule as rules/<name>.js, or its text.
    """
    stoppers = list(variants(stopper))
    recorded = [record(each, Random(number)) for number, each in enumerate(stoppers)]
    vectors = [
        {"settings": each.settings, "calls": calls}
        for each, (calls, _) in zip(stoppers, recorded, strict=True)
    ]
    answers = browser_page.evaluate("([source, vectors]) => decide(source, vectors)", [source, vectors])
    lines = []
    for each, (calls, ours), theirs in zip(stoppers, recorded, answers, strict=True):
        number = next((n for n, pair in enumerate(zip(ours, theirs, strict=True)) if not equal(*pair)), None)
        if number is not None:
            call = calls[number - 1] if number else "its constructor"
            lines.append(
                f"{format_spec(each)}: after {call}: {ours[number]} in Python, {theirs[number]} here"
            )
    return lines


def variants(stopper: type[Stopper]) -> Iterator[Stopper]:
    """Yield a stopper with its defaults, with each setting at several values, and with random settings."""
    values = {name: list(_values(setting)) for name, setting in settings_of(stopper).items()}
    combinations = [{}, *({name: value} for name, each in values.items() for value in each)]
    random = Random(1)
    for _ in range(RANDOM_SETTINGS if values else 0):
        combinations.append({name: random.choice(each) for name, each in values.items()})
    for settings in combinations:
        try:
            yield stopper(**settings)
        except UserError:
            assert settings["keep_last"] is False  # which some rules refuse


def _values(setting) -> Iterator:
    if setting.kind is bool:
        yield from (False, True)
        return
    ends = [setting.low, setting.high]
    if setting.default is None:
        yield from (None, *ends)
        return
    near = [0.5 * setting.default, 1.4 * setting.default, 0.5 * (setting.default + min(1, setting.high))]
    yield from sorted(
        {setting.kind(value) for value in [*ends, *near] if setting.low <= value <= setting.high}
    )


def record(stopper: Stopper, random: Random) -> tuple[list, list]:
    """Play rounds of random drafts; return the calls, ready for JSON, and the answers. The first answer is an
    extra one: the constructor's attributes."""
    calls, answers = [], [{"max_draft": stopper.max_draft, "keep_last": stopper.keep_last}]

    def call(name: str, *arguments, answer=None) -> None:
        calls.append([name, *arguments])
        answers.append(answer)

    expected = random.choice([None, _times(random)])
    stopper.expect(expected)
    call("expect", expected and vars(expected))
    earlier = count_text([], _judged(random)) if random.random() < 0.5 else []
    stopper.expect_acceptance(earlier)
    call("expect_acceptance", [vars(count) for count in earlier])
    timed = "times" in stopper.looks_at and not stopper.judges_q
    for _ in range(TIMED_ROUNDS if timed else ROUNDS):
        if isinstance(stopper, Oracle):
            stopper.acceptable = random.randrange(stopper.max_draft + 1)
            call("acceptable", stopper.acceptable)
        drafts = stopper.begin_round()
        call("begin", answer=drafts)
        drafted = dropped = 0
        for position in range(1, 1 + min(stopper.max_draft, MOST_STEPS) * drafts):
            step = _step(random, position)
            stop = stopper.should_stop(step)
            call("step", vars(step), answer=[stop, stopper.score, stopper.threshold])
            dropped = int(stop and not stopper.keep_last)
            drafted = position - dropped
            if stop:
                break
        accepted = min(drafted, int(random.expovariate(0.4)))
        stopper.observe(drafted, accepted, dropped)
        call("observe", drafted, accepted, dropped)
        verify_s = 0.02 * (1 + 0.02 * drafted) * random.uniform(0.9, 1.1)
        stall = 16 if random.random() < 0.1 else 1
        duration_s = verify_s + (0.003 + 0.002 * (drafted + dropped)) * random.uniform(0.9, 1.1) * stall
        stopper.observe_times(accepted + 1, verify_s, duration_s)
        call("times", accepted + 1, verify_s, duration_s)
    return calls, answers


def _judged(random: Random) -> Iterator[tuple[float, bool]]:
    for _ in range(random.randrange(1, 300)):
        yield random.expovariate(1), random.random() < 0.7


def _times(random: Random) -> Times:
    numbers = [random.uniform(0, 0.01) for _ in range(5)]
    return Times([0.02 * (1 + random.random()) for _ in range(random.randint(2, 20))], *numbers)


def _step(random: Random, position: int) -> DraftStep:
    top = random.uniform(0.05, 1)
    return DraftStep(
        entropy=random.expovariate(1) * (1 - top) * 3,
        top_prob=top,
        margin=top * random.random(),
        token_prob=top if random.random() < 0.6 else top * random.random(),
        position=position,
    )


def equal(ours, theirs) -> bool:
    """Return whether two answers are equal up to the last digits of numbers."""
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(ours, float) and theirs is not None:
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return ours == theirs


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks in a language of a Markdown file."""
    parts = page.read_text("utf-8").split(f"```{language}\n")[1:]
    return [part.partition("```")[0] for part in parts]
