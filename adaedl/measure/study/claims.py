"""The paper's claims: for each a sentence that says where on the map it holds and where not, and a table."""

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
    NOWHERE,
    named_rules,
    over_costs,
    span,
    temperature_words,
    where,
    with_pairs,
)

BAND = (10, 57)  # percent that AdaEDL is said to gain over fixed lengths
ELSEWHERE = "best k on other prompts"
REFERENCES = {
    "k = 4": "a fixed length of 4",
    "k = 8": "a fixed length of 8",
    ELSEWHERE: "the fixed length that is best on other prompts",
}
PUBLISHED, BEST_THRESHOLD, BEST_OF_BOTH = "as published", "best λ", "best λ and γ"
HOT = 1.3  # temperatures from here on are high
GOOD_DEFAULT = 5.0  # percent that a default may lose to the best settings and still be called good
CLAIMED_COVERAGE = 0.95


@dataclass(frozen=True)
class Finding:
    """What was claimed, a sentence that says where it holds, its numbers in words and as a table."""

    claim: str
    verdict: str
    note: str
    table: pd.DataFrame


def references(speedups: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the speedups of the fixed lengths that AdaEDL is compared with, by name."""
    return {
        "k = 4": speedups[FIXED_LENGTHS[4]],
        "k = 8": speedups[FIXED_LENGTHS[8]],
        ELSEWHERE: tables.best_elsewhere(speedups, FIXED_LENGTHS.values()),
    }


def adaedl_choices(speedups: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the speedups of AdaEDL as published and with its settings chosen on other prompts, by name."""
    return {
        PUBLISHED: speedups[ADAEDL],
        BEST_THRESHOLD: tables.best_elsewhere(speedups, OVER_THRESHOLD.values()),
        BEST_OF_BOTH: tables.best_elsewhere(speedups, OVER_BOTH.values()),
    }


def gains_over_fixed(speedups: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the gain of AdaEDL in percent by cell, with intervals, for each choice of its settings and each
    reference."""
    theirs = references(speedups)
    return {
        (choice, reference): tables.gains(ours, fixed)
        for choice, ours in adaedl_choices(speedups).items()
        for reference, fixed in theirs.items()
    }


def at_ratios(values):
    """Return the rows at the chosen cost ratios, without those at the measured cost."""
    return values[values.index.get_level_values("cost") != MEASURED]


def over_fixed(speedups: pd.DataFrame) -> list[Finding]:
    """Judge the gain over fixed lengths, a finding for each."""
    found = gains_over_fixed(speedups)
    return [_over_one_length(found, reference) for reference in REFERENCES]


def _over_one_length(found: dict[tuple[str, str], pd.DataFrame], reference: str) -> Finding:
    own = {choice: gain["mean"] for (choice, over), gain in found.items() if over == reference}
    published, tuned = at_ratios(own[PUBLISHED]), at_ratios(own[BEST_OF_BOTH])
    low, high = BAND
    verdict = (
        f"AdaEDL as published is {low}% or more faster than {REFERENCES[reference]} "
        f"{where(published >= low)}."
    )
    note = (
        f"Its gain is {_spread(published)}, and it is faster at all {where(published > 0)}. With λ and γ "
        f"chosen on other prompts the gain is {_spread(tuned)}, {low}% or more {where(tuned >= low)}."
    )
    rows = {choice: over_costs(gain, "{:+.0f}", "%") for choice, gain in own.items()}
    claim = f"AdaEDL is {low}–{high}% faster than {REFERENCES[reference]}."
    return Finding(claim, verdict, note, pd.concat(rows, names=["AdaEDL"]))


def _spread(gain: pd.Series) -> str:
    return f"{span(gain, '{:+.0f}', '%')}, {gain.mean():+.1f}% on average"


def over_rivals(speedups: pd.DataFrame) -> Finding:
    """Judge the gain over other training-free stoppers, each at its default settings."""
    others = rivals(speedups.columns)
    means = tables.cell_means(speedups[[ADAEDL, *others]])
    over = means[others].rdiv(means[ADAEDL], axis=0).map(lambda ratio: 100 * (ratio - 1))
    chosen = at_ratios(over)
    average = 100 * np.expm1(np.log1p(chosen / 100).mean(axis=1))
    best = chosen.min(axis=1)
    high = int((chosen >= 10).to_numpy().sum())
    verdict = (
        f"AdaEDL as published is faster than the {len(others)} other training-free rules are on average "
        f"{where(average > 0)}."
    )
    note = (
        f"It is faster than each of them {where(best > 0)}. Its gain over one of them is "
        f"{_spread(chosen.stack())}, and 10% or more in {high} of {chosen.size:,} comparisons. All run at "
        "their default settings, which are the published ones where any were published."
    )
    table = pd.concat({other: over_costs(over[other], "{:+.0f}", "%") for other in others}, names=["over"])
    return Finding("AdaEDL is up to 10% faster than other training-free stoppers.", verdict, note, table)


def at_high_temperatures(speedups: pd.DataFrame) -> Finding:
    """Judge whether AdaEDL holds where fixed lengths fall below the target alone."""
    means = tables.cell_means(speedups[[ADAEDL, FIXED_LENGTHS[4], FIXED_LENGTHS[8]]])
    hot = at_ratios(means[means.index.get_level_values("temperature") >= HOT])
    verdict = (
        f"From temperature {HOT:g} AdaEDL as published is at least as fast as autoregressive decoding while "
        f"a fixed length of 8 falls below it {where((hot[ADAEDL] >= 1) & (hot[FIXED_LENGTHS[8]] < 1))}."
    )
    note = (
        f"AdaEDL is at least as fast {where(hot[ADAEDL] >= 1)}; a length of 4 falls below "
        f"{where(hot[FIXED_LENGTHS[4]] < 1)}, and a length of 8 {where(hot[FIXED_LENGTHS[8]] < 1)}. "
        f"AdaEDL reaches {span(hot[ADAEDL], '{:.2f}', '×')} there, "
        f"k = 4 {span(hot[FIXED_LENGTHS[4]], '{:.2f}', '×')} "
        f"and k = 8 {span(hot[FIXED_LENGTHS[8]], '{:.2f}', '×')}."
    )
    all_hot = means[means.index.get_level_values("temperature") >= HOT]
    names = {ADAEDL: "AdaEDL as published", FIXED_LENGTHS[4]: "k = 4", FIXED_LENGTHS[8]: "k = 8"}
    table = pd.concat(
        {name: over_costs(all_hot[lane], "{:.2f}", "×") for lane, name in names.items()},
        names=[f"speedup at T ≥ {HOT:g}"],
    )
    return Finding(
        "AdaEDL is robust at high temperatures, where fixed lengths fall below autoregressive decoding.",
        verdict,
        note,
        table,
    )


def default_settings(speedups: pd.DataFrame) -> Finding:
    """Judge the published λ and γ against the best ones in hindsight."""
    means = tables.cell_means(speedups[[*OVER_BOTH.values()]])
    loss = 100 * (1 - means[ADAEDL] / means.max(axis=1))
    settings = {lane: both for both, lane in OVER_BOTH.items()}
    best = means.idxmax(axis=1).map(settings)
    limit = best.map(lambda both: entropy_limit(*both))
    chosen = at_ratios(loss)
    verdict = (
        f"AdaEDL's λ = 0.4 and γ = 0.2 are within {GOOD_DEFAULT:g}% of the best λ and γ in hindsight "
        f"{where(chosen <= GOOD_DEFAULT)}."
    )
    note = (
        f"They lose {span(chosen, '{:.0f}', '%')}, {chosen.mean():.1f}% on average. AdaEDL stops where the "
        "entropy exceeds (1 − λ)² / γ, 1.8 nats with these settings, and λ moves by a thousandth a round at "
        "most. So on one text λ and γ are one setting, that limit."
    )
    table = pd.concat(
        {
            "loss of λ = 0.4, γ = 0.2": over_costs(loss, "{:.0f}", "%"),
            "entropy at which the best settings stop (nats)": over_costs(limit, "{:.2g}"),
        },
        names=["what"],
    )
    return Finding("λ = 0.4 at first and γ = 0.2 are good defaults.", verdict, note, table)


def entropy_limit(threshold: float, gamma: float) -> float:
    """Return the entropy in nats at which AdaEDL stops: 1 − √(γ·H) < λ where H > (1 − λ)² / γ."""
    return (1 - threshold) ** 2 / gamma


def bound_holds(bounds: pd.DataFrame) -> Finding:
    """Judge the bound from `adaedl.measure.study.bound.bound_table`."""
    share = bounds["coverage"]
    # Each rule writes its own texts, so the share may pass the mark under one of them alone.
    held = share.groupby(level=["pair", "temperature"], sort=False).min() >= CLAIMED_COVERAGE
    holding = with_pairs(
        {pair: _temperatures_of(part[part]) for pair, part in held.groupby(level="pair", sort=False)}
    )
    lowest = share.idxmin()
    verdict = (
        f"The bound with γ = 0.2 holds for {100 * CLAIMED_COVERAGE:.0f}% of drafts or more under either "
        f"verification rule {holding}; it holds for the fewest, {100 * share.min():.0f}%, with "
        f"`{lowest[0]}` at temperature {lowest[2]:g}."
    )
    note = (
        f"It lies {span(bounds['gap'], '{:+.2f}')} below β on average (a negative gap: above it), and its "
        f"rank correlation with β is {span(bounds['rank_correlation'], '{:.2f}')}. Shares and correlations "
        "are taken within each text and averaged over texts."
    )
    form = {"β": "beta", "bound ≤ β": "coverage", "β − bound": "gap", "rank correlation": "rank_correlation"}
    numbers = {name: [_number(row, column) for _, row in bounds.iterrows()] for name, column in form.items()}
    table = pd.DataFrame(numbers, bounds.index).assign(
        **{
            "fitted γ": bounds["gamma"].map("{:.2f}".format),
            "c measured": bounds["cost_ratio"].map("{:.3f}".format),
        }
    )
    return Finding("1 − √(γ·H(q)) is a lower bound on acceptance.", verdict, note, named_rules(table))


def _number(row: pd.Series, column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{row[column]:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low == low else "")


def _temperatures_of(part: pd.Series) -> str:
    temperatures = sorted(part.index.get_level_values("temperature"))
    return f"at {temperature_words(temperatures)}" if temperatures else NOWHERE


def best_rules(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return by cell which rule is the fastest, and by how much over the best fixed length.

    Each rule runs with the settings that are best on the other prompts of the cell, fixed lengths too. Which
    rule is the fastest is chosen in hindsight, so the gains and their intervals favour it.
    Columns: `rule`; mean, low and high of its gain over fixed lengths in percent.
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
    """Return a finding for each claim, from the speedups of the pairs of the map and the bounds on them."""
    return [
        *over_fixed(speedups),
        over_rivals(speedups),
        at_high_temperatures(speedups),
        default_settings(speedups),
        bound_holds(bounds),
    ]
