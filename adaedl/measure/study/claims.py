"""The paper's claims: for each, a sentence that says in which cells of the map it holds, and its numbers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adaedl.measure.study import tables
from adaedl.measure.study.lanes import (
    ADAEDL,
    FIXED_LENGTHS,
    OVER_BOTH,
    OVER_THRESHOLD,
    families,
    rivals,
)
from adaedl.measure.study.replays import MEASURED
from adaedl.measure.study.words import (
    RULES,
    holds_where,
    named_rules,
    over_costs,
    ranges,
    sentence_by_pair,
    temperature_words,
)

BAND = (10, 57)  # percent, the gain over fixed lengths that the paper reports
ELSEWHERE = "best k on other prompts"
REFERENCES = {
    "k = 4": "a fixed length of 4",
    "k = 8": "a fixed length of 8",
    ELSEWHERE: "the fixed length that is best on other prompts",
}
PUBLISHED, BEST_THRESHOLD, BEST_OF_BOTH = "as published", "best λ", "best λ and γ"
HOT = 1.3  # the lowest temperature that counts as high
GOOD_DEFAULT = 5.0  # percent, the largest loss against the best settings that a good default may have
CLAIMED_COVERAGE = 0.95


@dataclass(frozen=True)
class Finding:
    """What the study says about one claim.

    Attributes:
        claim: the claim, as a sentence.
        verdict: a sentence that says where it holds.
        notes: more sentences, with its numbers.
        table: its numbers.
    """

    claim: str
    verdict: str
    notes: tuple[str, ...]
    table: pd.DataFrame


def references(speedups: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the speedups of the fixed lengths that AdaEDL is compared with, by name."""
    return {
        "k = 4": speedups[FIXED_LENGTHS[4]],
        "k = 8": speedups[FIXED_LENGTHS[8]],
        ELSEWHERE: tables.best_elsewhere(speedups, FIXED_LENGTHS.values()),
    }


def adaedl_choices(speedups: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the speedups of AdaEDL as published, and with settings chosen on the other prompts, by name."""
    return {
        PUBLISHED: speedups[ADAEDL],
        BEST_THRESHOLD: tables.best_elsewhere(speedups, OVER_THRESHOLD.values()),
        BEST_OF_BOTH: tables.best_elsewhere(speedups, OVER_BOTH.values()),
    }


def gains_over_fixed(speedups: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return AdaEDL's gain by cell, in percent with intervals, for each choice of its settings and each
    reference."""
    lengths = references(speedups)
    return {
        (choice, reference): tables.gains(adaedl, fixed)
        for choice, adaedl in adaedl_choices(speedups).items()
        for reference, fixed in lengths.items()
    }


def at_ratios(values):
    """Return the rows at the modelled cost ratios: all but the rows at the measured one."""
    return values[values.index.get_level_values("cost") != MEASURED]


def over_fixed(speedups: pd.DataFrame) -> list[Finding]:
    """Judge AdaEDL's gain over each reference."""
    gains = gains_over_fixed(speedups)
    return [_over_one_length(gains, reference) for reference in REFERENCES]


def _over_one_length(gains: dict[tuple[str, str], pd.DataFrame], reference: str) -> Finding:
    means = {choice: gain["mean"] for (choice, over), gain in gains.items() if over == reference}
    published, tuned = at_ratios(means[PUBLISHED]), at_ratios(means[BEST_OF_BOTH])
    low, high = BAND
    length = REFERENCES[reference]
    verdict = holds_where(
        f"AdaEDL as published is {{}}at least {low}% faster than {length}", published >= low
    )
    notes = (
        holds_where(f"AdaEDL as published is {{}}faster than {length}", published > 0),
        f"Its gain {_ranges_and_averages(published)}.",
        f"With λ and γ chosen on the other prompts, its gain {_ranges_and_averages(tuned)}.",
        holds_where(f"With these settings, its gain is {{}}at least {low}%", tuned >= low),
    )
    rows = {choice: over_costs(gain, "{:+.0f}", "%") for choice, gain in means.items()}
    claim = f"AdaEDL is {low}–{high}% faster than {length}."
    return Finding(claim, verdict, notes, pd.concat(rows, names=["AdaEDL"]))


def _ranges_and_averages(gain: pd.Series) -> str:
    return f"{ranges(gain, '{:+.0f}', '%')} and averages {gain.mean():+.1f}%"


def over_rivals(speedups: pd.DataFrame) -> Finding:
    """Judge the gain over the other training-free stoppers, each with its default settings."""
    others = rivals(speedups.columns)
    means = tables.cell_means(speedups[[ADAEDL, *others]])
    over = means[others].rdiv(means[ADAEDL], axis=0).map(lambda ratio: 100 * (ratio - 1))
    chosen = at_ratios(over)
    average = 100 * np.expm1(np.log1p(chosen / 100).mean(axis=1))
    smallest = chosen.min(axis=1)
    high = int((chosen >= 10).to_numpy().sum())
    verdict = holds_where(
        f"AdaEDL as published is {{}}faster than the average of the {len(others)} other training-free rules",
        average > 0,
    )
    notes = (
        holds_where("AdaEDL as published is {}faster than every one of them", smallest > 0),
        f"Its gain over a single rule {_ranges_and_averages(chosen.stack())}. The gain is at least 10% in "
        f"{high} of {chosen.size:,} comparisons.",
        "Each rule runs with its default settings, which are the published settings if there are any.",
    )
    table = pd.concat(
        {other: over_costs(over[other], "{:+.0f}", "%") for other in others}, names=["compared with"]
    )
    return Finding("AdaEDL is up to 10% faster than other training-free stoppers.", verdict, notes, table)


def at_high_temperatures(speedups: pd.DataFrame) -> Finding:
    """Judge whether AdaEDL keeps up with the target alone at temperatures where fixed lengths do not."""
    names = {ADAEDL: "AdaEDL as published", FIXED_LENGTHS[4]: "k = 4", FIXED_LENGTHS[8]: "k = 8"}
    means = tables.cell_means(speedups[list(names)])
    all_hot = means[means.index.get_level_values("temperature") >= HOT]
    hot = at_ratios(all_hot)
    adaedl, four, eight = (hot[lane] for lane in names)
    verdict = holds_where(
        f"At temperatures of at least {HOT:g}, a fixed length of 8 {{}}falls below autoregressive decoding "
        "while AdaEDL as published does not",
        (adaedl >= 1) & (eight < 1),
    )
    notes = (
        holds_where(
            "At these temperatures, AdaEDL as published is {}at least as fast as autoregressive decoding",
            adaedl >= 1,
        ),
        holds_where("There, a fixed length of 4 is {}slower than autoregressive decoding", four < 1),
        holds_where("There, a fixed length of 8 is {}slower than autoregressive decoding", eight < 1),
        f"AdaEDL's speedup {ranges(adaedl, '{:.2f}', '×')}. For k = 4 the speedup "
        f"{ranges(four, '{:.2f}', '×')}, and for k = 8 it {ranges(eight, '{:.2f}', '×')}.",
    )
    table = pd.concat(
        {name: over_costs(all_hot[lane], "{:.2f}", "×") for lane, name in names.items()},
        names=[f"speedup at T ≥ {HOT:g}"],
    )
    return Finding(
        "AdaEDL is robust at high temperatures, where fixed lengths fall below autoregressive decoding.",
        verdict,
        notes,
        table,
    )


def default_settings(speedups: pd.DataFrame) -> Finding:
    """Judge the published λ and γ against the best λ and γ in hindsight."""
    means = tables.cell_means(speedups[[*OVER_BOTH.values()]])
    loss = 100 * (1 - means[ADAEDL] / means.max(axis=1))
    settings = {lane: both for both, lane in OVER_BOTH.items()}
    best = means.idxmax(axis=1).map(settings)
    limit = best.map(lambda both: entropy_limit(*both))
    chosen = at_ratios(loss)
    verdict = holds_where(
        f"With the published λ = 0.4 and γ = 0.2, AdaEDL is {{}}within {GOOD_DEFAULT:g}% of its speed with "
        "the best λ and γ in hindsight",
        chosen <= GOOD_DEFAULT,
    )
    notes = (
        f"The loss {ranges(chosen, '{:.0f}', '%')} and averages {chosen.mean():.1f}%.",
        "AdaEDL stops where the entropy exceeds (1 − λ)² / γ: 1.8 nats with the published settings. λ moves "
        "by at most 0.001 per round. So within one text λ and γ act as a single setting, this entropy limit.",
    )
    table = pd.concat(
        {
            "loss of λ = 0.4, γ = 0.2": over_costs(loss, "{:.0f}", "%"),
            "entropy at which the best settings stop (nats)": over_costs(limit, "{:.2g}"),
        },
        names=["quantity"],
    )
    return Finding("λ = 0.4 at first and γ = 0.2 are good defaults.", verdict, notes, table)


def entropy_limit(threshold: float, gamma: float) -> float:
    """Return the entropy in nats at which AdaEDL stops: 1 − √(γ·H) < λ where H > (1 − λ)² / γ."""
    return (1 - threshold) ** 2 / gamma


def bound_holds(bounds: pd.DataFrame) -> Finding:
    """Judge the bound, from `adaedl.measure.study.bound.bound_table`."""
    share = bounds["coverage"]
    # The two verification rules write different texts, so one of them alone may reach the claimed share.
    holds = share.groupby(level=["pair", "temperature"], sort=False).min() >= CLAIMED_COVERAGE
    verdict = sentence_by_pair(
        f"The bound with γ = 0.2 {{}}holds for at least {100 * CLAIMED_COVERAGE:.0f}% of the drafts under "
        "both verification rules",
        {pair: _temperatures_of(part[part]) for pair, part in holds.groupby(level="pair", sort=False)},
    )
    pair, verification, temperature = share.idxmin()
    rule = f" under {RULES[verification]}" if temperature else ""
    lowest = f"{100 * share.min():.0f}%, with `{pair}` at temperature {temperature:g}{rule}"
    notes = (
        f"The mean gap, β minus the bound, {ranges(bounds['gap'], '{:+.2f}')}. A negative gap means that the "
        "bound is above β.",
        f"The rank correlation of the bound and β {ranges(bounds['rank_correlation'], '{:.2f}')}.",
        "Shares and correlations are computed within each text, then averaged over texts.",
    )
    form = {"β": "beta", "bound ≤ β": "coverage", "β − bound": "gap", "rank correlation": "rank_correlation"}
    numbers = {name: [_number(row, column) for _, row in bounds.iterrows()] for name, column in form.items()}
    table = pd.DataFrame(numbers, bounds.index).assign(
        **{
            "fitted γ": bounds["gamma"].map("{:.2f}".format),
            "c measured": bounds["cost_ratio"].map("{:.3f}".format),
        }
    )
    return Finding(
        "1 − √(γ·H(q)) is a lower bound on acceptance.",
        f"{verdict} The lowest share is {lowest}.",
        notes,
        named_rules(table),
    )


def _number(row: pd.Series, column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{row[column]:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low == low else "")


def _temperatures_of(part: pd.Series) -> str:
    temperatures = sorted(part.index.get_level_values("temperature"))
    return f"at {temperature_words(temperatures)}" if temperatures else "at no temperature"


def best_rules(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return by cell the fastest rule and its gain over the best fixed length.

    Each rule, fixed lengths included, runs with the settings that are best on the other prompts of the cell.
    The fastest rule is chosen in hindsight, so the gains and their intervals are optimistic.
    Columns: `rule`; `mean`, `low` and `high` of its gain over fixed lengths in percent.
    """
    of_family = families(lane for lane in speedups.columns if not lane.startswith("oracle"))
    chosen = pd.DataFrame({name: tables.best_elsewhere(speedups, lanes) for name, lanes in of_family.items()})
    means = tables.cell_means(chosen)
    rule = means.idxmax(axis=1)
    cells = pd.MultiIndex.from_arrays([chosen.index.get_level_values(name) for name in tables.CELL])
    winner = rule.reindex(cells).to_numpy()
    column = chosen.columns.get_indexer(winner)
    fastest = pd.Series(chosen.to_numpy()[np.arange(len(chosen)), column], chosen.index)
    return tables.gains(fastest, chosen["fixed"]).assign(rule=rule)


def findings(speedups: pd.DataFrame, bounds: pd.DataFrame) -> list[Finding]:
    """Return a finding for each claim, from the speedups and bounds of the pairs on the map."""
    return [
        *over_fixed(speedups),
        over_rivals(speedups),
        at_high_temperatures(speedups),
        default_settings(speedups),
        bound_holds(bounds),
    ]
