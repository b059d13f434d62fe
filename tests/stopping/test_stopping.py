"""Every stopper's rule, compared with hand-computed values, and the registry that reads specs."""

import copy
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adaedl.errors import UserError
from adaedl.stopping import (
    LIVE_STOPPERS,
    STOPPERS,
    DraftStep,
    Setting,
    Stopper,
    check_live,
    format_spec,
    make_stopper,
    settings_of,
    split_specs,
)

quickly = settings(max_examples=100)


def step(entropy=0.5, top_prob=0.8, margin=0.6, token_prob=0.8, position=1) -> DraftStep:
    return DraftStep(entropy, top_prob, margin, token_prob, position)


# Each rule.


def test_autoregressive_never_drafts():
    assert make_stopper("autoregressive").max_draft == 0


def test_fixed_drafts_k_tokens_and_never_stops_earlier():
    stopper = make_stopper("fixed:k=5")
    assert stopper.max_draft == 5
    assert not any(stopper.should_stop(step(entropy=9, top_prob=0, margin=0, token_prob=0)) for _ in range(5))
    assert (stopper.score, stopper.threshold) == (None, None)


@pytest.mark.parametrize(
    ("spec", "value", "score", "threshold", "stops"),
    [
        ("adaedl", {"entropy": 1.7}, 1 - math.sqrt(0.34), 0.4, False),  # 0.4169
        ("adaedl", {"entropy": 1.9}, 1 - math.sqrt(0.38), 0.4, True),  # 0.3836
        ("adaedl:gamma=0.1,threshold=0.6", {"entropy": 1.7}, 1 - math.sqrt(0.17), 0.6, True),
        ("max_confidence", {"top_prob": 0.41}, 0.41, 0.4, False),
        ("max_confidence", {"top_prob": 0.39}, 0.39, 0.4, True),
        # √(0.15·H) exceeds 0.3 from H = 0.6 on
        ("svip", {"entropy": 0.59}, 1 - math.sqrt(0.0885), 0.7, False),
        ("svip", {"entropy": 0.61}, 1 - math.sqrt(0.0915), 0.7, True),
        ("margin", {"margin": 0.21}, 0.21, 0.2, False),
        ("margin", {"margin": 0.19}, 0.19, 0.2, True),
        ("confidence", {"token_prob": 0.4}, 0.4, 0.4, False),
        ("confidence", {"token_prob": 0.3999, "top_prob": 0.6}, 0.3999, 0.4, True),
    ],
)
def test_a_score_below_the_threshold_stops_the_draft(spec, value, score, threshold, stops):
    stopper = make_stopper(spec)
    stopper.begin_round()
    assert stopper.should_stop(step(**value)) is stops
    assert stopper.score == pytest.approx(score)
    assert stopper.threshold == pytest.approx(threshold)


def test_heuristic_follows_the_schedule_of_transformers():
    stopper = make_stopper("heuristic:k=5,max_draft=8")

    def drafted() -> int:
        return next(n for n in range(1, 20) if stopper.should_stop(step(position=n)))

    lengths = [drafted()]
    for accepted_all in (True, True, False, False, True):
        length = drafted()
        stopper.observe(length, length if accepted_all else length - 1)
        lengths.append(drafted())
    assert lengths == [5, 7, 8, 7, 6, 8]
    for _ in range(20):
        stopper.observe(stopper.length, 0)
    assert drafted() == 1


def test_the_bandit_plays_every_arm_once_and_then_the_arm_with_the_highest_bound():
    stopper = make_stopper("bandit:max_draft=10")
    chosen = []
    # r = 0.5·accepted/10 + 0.5·accepted/drafted: 0.15 + 0.5 = 0.65, 0.05 + 0.125, 0, 0.1 + 0.25, 0.05 + 0.1
    for drafted, accepted in ((3, 3), (4, 1), (5, 0), (4, 2), (5, 1)):
        chosen.append(stopper.arm)
        stopper.observe(drafted, accepted)
    assert chosen == [0, 1, 2, 3, 4]
    assert stopper.rewards == pytest.approx((0.65, 0.175, 0, 0.35, 0.15))
    # All arms were played once, so the best mean leads. After one more play of arm 0, √(2·ln 6 / n) is 1.339
    # for arm 0 and 1.893 for the others.
    assert stopper.arm == 0
    stopper.observe(2, 0)
    assert stopper.rewards[0] / 2 + math.sqrt(math.log(6)) == pytest.approx(0.325 + 1.3386, abs=1e-4)
    assert stopper.arm == 3  # 0.35 + 1.8930


def test_the_bandit_decides_like_its_arm_and_reports_the_arms_score():
    stopper = make_stopper("bandit")
    numbers = step(entropy=2.0, top_prob=0.3, margin=0.1)
    for arm, score, threshold in (
        (0, 1 - math.sqrt(0.4), 0.4), (1, 0.3, 0.4), (2, 1 - math.sqrt(0.3), 0.7), (3, 0.1, 0.2)
    ):  # fmt: skip
        assert stopper.arm == arm
        assert stopper.should_stop(numbers)
        assert (stopper.score, stopper.threshold) == (pytest.approx(score), pytest.approx(threshold))
        stopper.observe(1, 1)


def test_the_bandits_last_arm_stops_when_the_root_of_the_entropy_rises_by_more_than_0_2():
    stopper = make_stopper("bandit")
    for _ in range(4):
        stopper.observe(1, 0)
    assert stopper.arm == 4
    # The first draft of a round has nothing to rise from; the last one rises by 0.21.
    for _ in range(2):
        stopper.begin_round()
        decisions = []
        for position, root in enumerate((1.5, 0.5, 0.69, 0.9), start=1):
            decisions.append((stopper.should_stop(step(entropy=root**2, position=position)), stopper.score))
        assert [stop for stop, _ in decisions] == [False, False, False, True]
        assert [score for _, score in decisions] == pytest.approx([1, 2, 0.81, 0.79])
        assert stopper.threshold == 0.8


def test_copies_of_a_bandit_do_not_share_the_last_entropy():
    stopper = make_stopper("bandit")
    for _ in range(4):
        stopper.observe(1, 0)
    stopper.should_stop(step(entropy=1.0, position=1))
    clone = copy.copy(stopper)
    clone.should_stop(step(entropy=0.0, position=2))
    assert not stopper.should_stop(step(entropy=1.0, position=2))
    assert clone.should_stop(step(entropy=1.0, position=3))


def test_copies_of_a_bandit_do_not_share_their_plays():
    stopper = make_stopper("bandit")
    clone = copy.copy(stopper)
    clone.observe(3, 3)
    assert (stopper.arm, clone.arm) == (0, 1)


def test_a_round_that_drops_its_only_draft_is_a_play_without_reward():
    stopper = make_stopper("bandit:keep_last=false")
    stopper.observe(0, 0)
    assert (stopper.plays, stopper.rewards) == ((1, 0, 0, 0, 0), (0, 0, 0, 0, 0))


def test_the_oracle_stops_after_the_last_acceptable_draft():
    stopper = make_stopper("oracle")
    stopper.acceptable = 3
    assert [stopper.should_stop(step(position=n)) for n in (1, 2, 3)] == [False, False, True]


def test_a_stopper_that_needs_a_recording_is_refused_live():
    assert set(STOPPERS) - set(LIVE_STOPPERS) == {"oracle"}
    with pytest.raises(
        UserError, match=r"oracle knows what the target will accept, .* choose one of autoreg"
    ):
        check_live(make_stopper("oracle"))
    for name in LIVE_STOPPERS:
        check_live(make_stopper(name))


# λ.


@pytest.mark.parametrize("name", ["adaedl", "max_confidence"])
def test_the_threshold_adapts_as_in_the_worked_example(name):
    stopper = make_stopper(f"{name}:threshold=0.4,max_draft=6")
    # AR ← 0.5·AR + 0.5·accepted/drafted; λ ← λ + 0.1·(±0.01), and stays where max_draft was reached.
    worked = [
        # drafted, accepted, AR, λ
        (4, 2, 0.25, 0.401),
        (4, 4, 0.625, 0.402),
        (6, 6, 0.8125, 0.402),  # max_draft drafted: λ stays, AR changes
        (3, 3, 0.90625, 0.401),  # above α* = 0.9: down
        (5, 5, 0.953125, 0.4),
        (2, 0, 0.4765625, 0.401),
    ]
    for drafted, accepted, acceptance_rate, threshold in worked:
        stopper.observe(drafted, accepted)
        assert stopper.acceptance_rate == pytest.approx(acceptance_rate)
        assert stopper.threshold == pytest.approx(threshold)
    assert stopper.settings["threshold"] == 0.4


def test_the_adaptation_uses_the_given_parameters():
    stopper = make_stopper("adaedl:threshold=0.5,epsilon=0.2,beta1=0.25,beta2=0.6,target_rate=0.3")
    stopper.observe(4, 2)  # AR = 0.75·0.5 = 0.375 > 0.3; λ = 0.6·0.5 + 0.4·0.3
    assert stopper.acceptance_rate == pytest.approx(0.375)
    assert stopper.threshold == pytest.approx(0.42)


def test_an_acceptance_rate_equal_to_the_target_rate_raises_the_threshold():
    stopper = make_stopper("adaedl:threshold=0.5,beta1=0,target_rate=0.5")
    stopper.observe(4, 2)
    assert stopper.threshold == pytest.approx(0.501)


def test_a_frozen_threshold_does_not_change():
    stopper = make_stopper("adaedl:adapt=false")
    stopper.observe(4, 0)
    assert stopper.threshold == 0.4


def test_a_round_without_drafts_changes_nothing():
    adaptive, heuristic = make_stopper("adaedl"), make_stopper("heuristic")
    adaptive.observe(0, 0)
    heuristic.observe(0, 0)
    assert (adaptive.threshold, adaptive.acceptance_rate, heuristic.length) == (0.4, 0, 5)


@pytest.mark.parametrize("name", ["adaedl", "max_confidence"])
def test_rounds_that_drop_their_only_draft_lower_the_threshold_until_one_is_verified(name):
    stopper = make_stopper(f"{name}:threshold=0.9,keep_last=false")
    dropped = 0
    while stopper.should_stop(step(entropy=0.2, top_prob=0.753)):
        before = stopper.threshold
        stopper.observe(0, 0, 1)
        assert stopper.threshold == pytest.approx(before - stopper.epsilon)
        dropped += 1
    assert dropped == math.floor((0.9 - stopper.score) / stopper.epsilon) + 1
    assert stopper.acceptance_rate == 0  # nothing was measured


def test_a_frozen_threshold_does_not_change_when_drafts_are_dropped():
    stopper = make_stopper("adaedl:adapt=false,keep_last=false")
    stopper.observe(0, 0, 1)
    assert stopper.threshold == 0.4


def test_a_dropped_draft_after_verified_drafts_does_not_change_the_adaptation():
    plain, dropping = make_stopper("adaedl"), make_stopper("adaedl:keep_last=false")
    plain.observe(3, 1)
    dropping.observe(3, 1, 1)
    assert (plain.threshold, plain.acceptance_rate) == (dropping.threshold, dropping.acceptance_rate)


def test_heuristic_has_no_draft_to_drop():
    stopper = make_stopper("heuristic:k=1")
    assert stopper.keep_last
    assert "keep_last" not in stopper.settings


def test_a_bandit_avoids_an_arm_that_drops_its_drafts():
    stopper = make_stopper("bandit:keep_last=false")
    verified = 0
    for _ in range(200):
        # The entropy makes AdaEDL and SVIP stop at once; the other three go on.
        if stopper.should_stop(step(entropy=4.0, top_prob=0.8, margin=0.7)):
            stopper.observe(0, 0, 1)
        else:
            stopper.observe(1, 1)
            verified += 1
    assert stopper.plays[1] + stopper.plays[3] + stopper.plays[4] == verified > 150


@quickly
@given(st.lists(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=40))
def test_the_threshold_moves_by_at_most_a_tenth_of_epsilon_per_round(rounds):
    stopper = make_stopper("adaedl")
    for drafted, accepted in rounds:
        before = stopper.threshold
        stopper.observe(drafted, accepted)
        assert abs(stopper.threshold - before) <= 0.001 + 1e-12
        assert 0 <= stopper.acceptance_rate <= 1


# The registry.


@pytest.mark.parametrize("name", STOPPERS)
def test_every_stopper_has_a_summary_and_a_source(name):
    stopper = make_stopper(name)
    assert stopper.name == name
    assert len(stopper.summary) > 10
    assert stopper.source
    assert format_spec(stopper) == name


def test_defaults_are_the_published_values():
    assert make_stopper("adaedl").settings == {
        "threshold": 0.4,
        "gamma": 0.2,
        "adapt": True,
        "epsilon": 0.01,
        "beta1": 0.5,
        "beta2": 0.9,
        "target_rate": 0.9,
        "max_draft": 12,
        "keep_last": True,
        "score_temperature": None,
    }
    assert make_stopper("confidence").threshold == 0.4


def test_a_spec_sets_the_settings_it_names():
    stopper = make_stopper(" adaedl: threshold=0.3, gamma=0.1 ,adapt=false,keep_last=FALSE,max_draft=7 ")
    assert (stopper.threshold, stopper.gamma, stopper.adapt, stopper.keep_last) == (0.3, 0.1, False, False)
    assert (stopper.max_draft, stopper.score_temperature) == (7, None)
    assert make_stopper("svip:score_temperature=none").score_temperature is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("adadel", "no stopper 'adadel'; choose one of autoregressive, .*confidence.*. Did you mean adaedl?"),
        ("", "no stopper ''"),
        ("fixed:n=3", "fixed has no setting 'n=3'; it takes k"),
        ("fixed:3", "has no setting '3'"),
        ("autoregressive:k=3", "it takes no settings"),
        ("fixed:k=0", "fixed: k is 0; it must be a number from 1 to 64"),
        ("fixed:k=2.5", "k is 2.5; it must be a whole number"),
        ("fixed:k=many", "k is 'many'"),
        ("fixed:k=true", "k is True"),
        ("fixed:k=" + "9" * 400, "k is 999"),
        ("fixed:k=1,k=2", "k twice"),
        ("adaedl:threshold=nan", "threshold is nan"),
        ("adaedl:threshold=2", "threshold is 2; it must be a number from -10 to 1"),
        ("adaedl:gamma=-0.1", "gamma is -0.1"),
        ("adaedl:adapt=1", "adapt is 1; it must be true or false"),
        ("adaedl:score_temperature=0", "score_temperature is 0"),
        ("svip:max_draft=65", "max_draft is 65"),
        ("confidence:keep_last=false", "keep_last is False; it must be true"),
        ("heuristic:keep_last=false", "keep_last"),
    ],
)
def test_an_invalid_spec_is_refused_with_the_value_and_the_valid_ones(spec, message):
    with pytest.raises(UserError, match=message):
        make_stopper(spec)


@quickly
@given(
    st.text(max_size=40) | st.from_regex(r"(fixed|svip):(k|h|max_draft)=[-+.eE0-9a-z]{1,8}", fullmatch=True)
)
@example("fixed:k=1e400")
@example("adaedl:=")
@example("adaedl:,,,")
def test_any_text_gives_a_stopper_or_an_error_of_one_sentence(spec):
    try:
        result = make_stopper(spec)
    except UserError as error:
        result = error
    assert isinstance(result, Stopper) or str(result).endswith((".", "?"))


def values(name: str, setting: Setting) -> st.SearchStrategy:
    """Return a strategy for every value of a setting; `keep_last` is true, since some rules require that."""
    if setting.kind is bool:
        return st.just(True) if name == "keep_last" else st.booleans()
    numbers = {int: st.integers, float: st.floats}[setting.kind](setting.low, setting.high)
    return st.none() | numbers if setting.default is None else numbers


@st.composite
def stoppers(draw) -> Stopper:
    cls = STOPPERS[draw(st.sampled_from(sorted(STOPPERS)))]
    chosen = [name for name in settings_of(cls) if draw(st.booleans())]
    return cls(**{name: draw(values(name, settings_of(cls)[name])) for name in chosen})


@quickly
@given(stoppers())
def test_a_spec_rebuilds_its_stopper(stopper):
    again = make_stopper(format_spec(stopper))
    assert type(again) is type(stopper)
    assert again.settings == stopper.settings


@quickly
@given(stoppers())
def test_settings_rebuild_a_stopper_even_after_it_has_adapted(stopper):
    before = stopper.settings
    stopper.observe(3, 1)
    assert type(stopper)(**stopper.settings).settings == before


@quickly
@given(st.lists(stoppers(), min_size=1, max_size=5))
def test_a_list_of_specs_is_split_between_the_stoppers(stopper_list):
    specs = [format_spec(stopper) for stopper in stopper_list]
    assert split_specs(",".join(specs)) == specs


def test_empty_parts_of_a_list_are_ignored():
    assert split_specs(" a ,, b:x=1 , y=2 ,c,") == ["a", "b:x=1,y=2", "c"]
