"""The lanes of a study: every registered stopper, and a grid of settings for stoppers with a threshold."""

from collections.abc import Iterable

from adaedl.measure.study.recordings import DEPTH
from adaedl.metrics import BASELINE
from adaedl.stopping import STOPPERS, format_spec, limit_draft, make_stopper, settings_of

ADAEDL = "adaedl"  # as published: initial λ = 0.4, γ = 0.2
THROUGHPUT = "throughput"
FIXED = "fixed"
ORACLE = "oracle"
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GAMMAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
PUBLISHED_GAMMA = 0.2
OVER_THRESHOLDS = ("max_confidence", "survival", "survival:use_bound=true")  # beside AdaEDL


def fixed(k: int) -> str:
    """Return the lane of a fixed length."""
    return format_spec(make_stopper(f"fixed:k={k}"))


def adaedl(threshold: float, gamma: float = PUBLISHED_GAMMA, scored: bool = False) -> str:
    """Return the lane of AdaEDL with these settings; if `scored`, it uses the entropy of q at temperature
    1."""
    scoring = ",score_temperature=1.0" if scored else ""
    return format_spec(make_stopper(f"adaedl:threshold={threshold},gamma={gamma}{scoring}"))


def over_thresholds(spec: str) -> list[str]:
    """Return the lanes of a stopper, one for each threshold; empty if the stopper is not registered."""
    if family_of(spec) not in STOPPERS:
        return []
    stopper = make_stopper(spec)
    declared = settings_of(type(stopper)).items()
    threshold = next(name for name, setting in declared if setting.slider == "lambda")
    return [format_spec(type(stopper)(**stopper.settings | {threshold: value})) for value in THRESHOLDS]


FIXED_LENGTHS = {k: fixed(k) for k in LENGTHS}
OVER_THRESHOLD = {threshold: adaedl(threshold) for threshold in THRESHOLDS}
OVER_BOTH = {(t, gamma): adaedl(t, gamma) for t in THRESHOLDS for gamma in GAMMAS}


def study_lanes() -> tuple[str, ...]:
    """Return every lane of a study, the baseline first. A stopper that only runs on recordings drafts up to
    their depth."""
    lanes = [BASELINE, *FIXED_LENGTHS.values(), *OVER_BOTH.values()]
    lanes += [adaedl(threshold, scored=True) for threshold in THRESHOLDS]
    for spec in OVER_THRESHOLDS:
        lanes += over_thresholds(spec)
    lanes += [format_spec(limit_draft(make_stopper(name), DEPTH)) for name in STOPPERS]
    if "score_temperature" in settings_of(STOPPERS[THROUGHPUT]):
        lanes.append(f"{THROUGHPUT}:score_temperature=1.0")
    return tuple(dict.fromkeys(lanes))


def family_of(lane: str) -> str:
    """Return the name of a lane's stopper."""
    return lane.partition(":")[0]


def families(lanes: Iterable[str]) -> dict[str, list[str]]:
    """Return the lanes by stopper, in their order."""
    by_stopper: dict[str, list[str]] = {}
    for lane in lanes:
        by_stopper.setdefault(family_of(lane), []).append(lane)
    return by_stopper


def rivals(lanes: Iterable[str]) -> list[str]:
    """Return the lanes of the other training-free stoppers with their default settings."""
    excluded = {BASELINE, FIXED, ADAEDL, THROUGHPUT, ORACLE}
    return [lane for lane in lanes if lane in STOPPERS and lane not in excluded]
