"""The report of a study, docs/study.md: all of it follows from the tables."""

from collections.abc import Iterable

import pandas as pd

from adaedl.measure.study import ours, real_runs, tables, thumb
from adaedl.measure.study.bound import bound_table
from adaedl.measure.study.claims import (
    BAND,
    BEST_OF_BOTH,
    BEST_THRESHOLD,
    PUBLISHED,
    best_rules,
    findings,
)
from adaedl.measure.study.lanes import ADAEDL, FIXED_LENGTHS, ORACLE, OVER_BOTH, THROUGHPUT, family_of
from adaedl.measure.study.recordings import Setup
from adaedl.measure.study.replays import COST_NAMES, COSTS
from adaedl.measure.study.words import RULES, count_words, listed, markdown, named_rules, over_costs
from adaedl.statistics import geometric_mean

GAIN_FIGURES = {  # by verification rule and choice of settings
    (verification, choice): f"study-gain-{verification.replace('_', '-')}-{file}.svg"
    for verification in RULES
    for choice, file in {PUBLISHED: "published", BEST_THRESHOLD: "threshold", BEST_OF_BOTH: "tuned"}.items()
}
MAP_FIGURE = "study-map.svg"
BOUND_FIGURE = "study-bound.svg"


def report(frame: pd.DataFrame, texts: pd.DataFrame, measured: pd.DataFrame, setup: Setup) -> str:
    """Return the study as Markdown, from its three tables (`adaedl.measure.study.tables`)."""
    every = tables.speedup_table(frame)
    setup = setup.of_pairs(set(frame["pair"]))
    speedups = tables.of_pairs(every, setup.pairs)
    bounds = bound_table(texts)
    found = findings(speedups, tables.of_pairs(bounds, setup.pairs))
    parts = [
        "# When stopping early pays\n",
        _introduction(every, setup),
        "## The paper's claims, each in a sentence\n",
        "Over the modelled costs. A cell is one pair, verification rule, temperature and c.\n",
        "\n".join(f"- *{finding.claim}* {finding.verdict}" for finding in found) + "\n",
        *_gain_figures(),
        *_map(speedups),
        *_bound(),
        "## The numbers behind the claims\n",
        "From the lowest to the highest over verification rules and temperatures; the settings and lengths "
        "called best are those that are best on the other prompts.\n",
    ]
    for finding in found:
        parts += [f"### {finding.claim}\n", f"{finding.verdict} {finding.note}\n", markdown(finding.table)]
    parts += [
        *_ours(every, setup),
        *_thumb(every, texts, setup),
        *_timing(frame, measured),
        *_summary(speedups),
    ]
    return "\n".join(parts)


def _introduction(speedups: pd.DataFrame, setup: Setup) -> str:
    prompts = speedups.index.to_frame(index=False).drop_duplicates(["pair", *tables.PROMPT])
    counts = prompts.groupby("pair", sort=False).size()
    pairs = listed(f"`{pair}` ({count_words(counts[pair], 'prompt')})" for pair in setup.pairs)
    held_out = ""
    if setup.held_out:
        held_out = (
            f" `{setup.held_out}` ({count_words(counts[setup.held_out], 'prompt')}) is held out: it only "
            "tests the rule of thumb and `throughput`."
        )
    return (
        f"Pairs: {pairs}, on {setup.machine}; up to {setup.max_new_tokens} new tokens.{held_out} Each text "
        "was recorded once under each verification rule and temperature, and every stopper replayed on it: "
        "under shared noise and at temperature 0 a replay is the run that decoding makes, under speculative "
        "sampling it has the same distribution. Run it with `python -m adaedl study`, and draw it with "
        "`python -m components.study_figures FOLDER`.\n\n"
        "The cost ratio c is the time of a draft step over the time of a target step. Besides the measured "
        f"c, times are modelled at c = {listed(f'{c:g}' for c in COSTS)}: each draft step takes c target "
        "steps, and everything else what it takes on this machine. Speedups are over the target alone on the "
        "same text; means are geometric, over prompts, with 95% t intervals.\n"
    )


def _gain_figures() -> Iterable[str]:
    yield "## What AdaEDL gains over fixed lengths\n"
    yield (
        "One line for each temperature, with its 95% interval; the shaded band is the paper's "
        f"{BAND[0]}–{BAND[1]}%. Diamonds are at the measured c. Verification by speculative sampling, the "
        "paper's own rule:\n"
    )
    for (verification, choice), file in GAIN_FIGURES.items():
        if verification == "speculative":
            yield f"![Gain of AdaEDL, {choice}, over fixed lengths, by c]({file})\n"
    others = listed(
        f"[{choice}]({file})"
        for (verification, choice), file in GAIN_FIGURES.items()
        if verification != "speculative"
    )
    yield f"The same under shared noise: {others}.\n"


def _map(speedups: pd.DataFrame) -> Iterable[str]:
    best = best_rules(speedups)
    shares = 100 * best["rule"].value_counts(normalize=True)
    wins = listed(f"`{rule}` in {share:.0f}%" for rule, share in shares.items())
    yield "## The map: which rule wins\n"
    yield f"![The fastest rule by c and temperature]({MAP_FIGURE})\n"
    yield (
        "Each rule has the settings that are best on the other prompts, and so has the fixed length that it "
        "is compared with. Which rule is the fastest is chosen in hindsight, so the gains are on the high "
        "side. A star: the 95% interval of the gain excludes 0. Fastest: "
        f"{wins} of the cells.\n"
    )
    words = best.apply(lambda row: f"{row['rule']} {row['mean']:+.0f}%{_star(row)}", axis=1)
    yield markdown(named_rules(words.unstack("cost", sort=False)))


def _star(row: pd.Series) -> str:
    return "*" if row["low"] > 0 or row["high"] < 0 else ""


def _bound() -> Iterable[str]:
    yield "## The bound and the pair's agreement\n"
    yield (
        f"![Coverage, gap and rank correlation of the bound, and the fitted γ, over mean β]({BOUND_FIGURE})\n"
    )


def _ours(every: pd.DataFrame, setup: Setup) -> Iterable[str]:
    speedups = tables.of_pairs(every, setup.pairs)
    ratios = ours.ratios(speedups)
    missed = ours.misses(every)
    ranking = ours.on_the_mean(speedups)
    faster = [f"`{lane}`" for name, lane in ranking["lane"].items() if ranking.loc[name, "ours"] < 1]
    verb = "is" if len(faster) == 1 else "are"
    yield f"## `{THROUGHPUT}`, which has no threshold\n"
    yield (
        f"Over the map `{THROUGHPUT}` has {ratios['fixed'].min():.3f}× to {ratios['fixed'].max():.3f}× the "
        f"speed of the best fixed length in hindsight, {_mean(ratios['fixed']):.3f}× on average; "
        f"{ratios['alone'].min():.3f}× the speed of the target alone at least; and "
        f"{100 * _mean(ratios['oracle']):.0f}% of the oracle's speed on average. "
        + (
            f"On the mean of the map {listed(faster)} {verb} faster."
            if faster
            else "No rule is faster on the mean."
        )
        + "\n"
    )
    yield _held_out_ratios(every, setup)
    yield "Every rule with the one setting that is best on the mean of the map:\n"
    table = pd.DataFrame(
        {
            "speedup": ranking["speedup"].map("{:.3f}×".format),
            f"`{THROUGHPUT}` over it": ranking["ours"].map("{:.3f}×".format),
        }
    ).set_index("`" + ranking["lane"] + "`")
    yield markdown(table.rename_axis("rule"))
    yield "To the best fixed length in hindsight, from the lowest to the highest of each pair and c:\n"
    yield markdown(over_costs(ours.ratios(every)["fixed"], "{:.2f}"))
    if missed.empty:
        yield f"Every cell reaches {ours.GOAL:g}×.\n"
    else:
        yield f"{len(missed)} of {len(ours.ratios(every))} cells miss {ours.GOAL:g}×:\n"
        table = missed.map("{:.3f}".format).unstack("cost", sort=False)
        columns = [cost for cost in COST_NAMES if cost in table]
        yield markdown(named_rules(table[columns].fillna("")))


def _held_out_ratios(every: pd.DataFrame, setup: Setup) -> str:
    if not setup.held_out:
        return ""
    own = ours.ratios(tables.of_pairs(every, [setup.held_out]))
    return (
        f"On the held-out pair `{setup.held_out}` it has {own['fixed'].min():.3f}× to "
        f"{own['fixed'].max():.3f}× that speed, {_mean(own['fixed']):.3f}× on average.\n"
    )


def _mean(ratios: pd.Series) -> float:
    return geometric_mean(ratios).mean


def _thumb(every: pd.DataFrame, texts: pd.DataFrame, setup: Setup) -> Iterable[str]:
    odd, even = thumb.halves(every)
    yield "## A rule of thumb for λ and γ\n"
    if even.empty or odd.empty:
        yield "It takes two prompts of a kind: one to fit it, one to test it.\n"
        return
    fitted = thumb.fit(tables.of_pairs(odd, setup.pairs), texts)
    tested = thumb.speeds(fitted, even, texts)
    lost = thumb.losses(tested)
    better = 100 * (_mean(tested["thumb"] / tested["published"]) - 1)
    yield (
        f"Stop where the draft's entropy exceeds H* = {fitted.a:.2g} · c^−{fitted.b:.2g} · (β / (1 − "
        f"β))^{fitted.d:.2g} nats, with β the pair's mean agreement: γ = 0.2 and λ = 1 − √(0.2·H*). At "
        f"β = 0.5 that is λ = {fitted.threshold(0.02, 0.5):.2f} for c = 0.02 and "
        f"{fitted.threshold(0.2, 0.5):.2f} for c = 0.2; at β = 0.9, {fitted.threshold(0.02, 0.9):.2f} and "
        f"{fitted.threshold(0.2, 0.9):.2f}.\n"
    )
    yield (
        "The odd prompts of the map's pairs fit it, the even prompts test it, each cell with the replayed λ "
        "and γ whose entropy limit is nearest. Its speed is "
        f"{better:+.1f}% against the published settings, on average over the tested cells. Loss to the "
        "best λ and γ in hindsight:\n"
    )
    names = [f"`{pair}`" + (" (held out)" if pair == setup.held_out else "") for pair in lost.index]
    table = lost.drop(columns="cells").map("{:.1f}%".format).assign(cells=lost["cells"])
    yield markdown(table.set_axis(pd.Index(names, name="pair")))


def _timing(frame: pd.DataFrame, measured: pd.DataFrame) -> Iterable[str]:
    errors = real_runs.model_errors(frame, measured)
    if errors.empty:
        return
    yield "## Error of the timing model\n"
    verification = errors.index.get_level_values("verification")
    same, drawn = errors[verification == "shared_noise"], errors[verification == "speculative"]
    least, most = errors["prompts"].min(), errors["prompts"].max()
    prompts = count_words(most, "prompt") if least == most else f"{least} to {most} prompts"
    off = same["error"].abs()
    sentences = [f"Of each pair {prompts} really ran as well."]
    if len(same):
        sentences.append(
            f"Under shared noise the rounds are the same, except those of `{THROUGHPUT}`, which depend on "
            f"times; modelled mean speedups are off by {off.mean():.1f}% on average and {off.max():.1f}% at "
            "most."
        )
    known = drawn[drawn["modelled_low"].notna()]
    if len(known):
        sentences.append(
            "Under speculative sampling the drafts differ, and only means compare: their intervals overlap "
            f"in {real_runs.overlapping(known).sum()} of {len(known)} comparisons."
        )
    yield " ".join(sentences) + " Modelled / measured:\n"
    words = errors.apply(
        lambda row: f"{row['modelled']:.2f}× / {row['measured']:.2f}× ({row['error']:+.1f}%)", axis=1
    )
    yield markdown(named_rules(words.unstack("lane", sort=False)))


def _summary(speedups: pd.DataFrame) -> Iterable[str]:
    means = tables.cell_means(speedups)
    fixed, both = list(FIXED_LENGTHS.values()), list(OVER_BOTH.values())
    lengths = {lane: k for k, lane in FIXED_LENGTHS.items()}
    settings = {lane: f"λ {threshold:g}, γ {gamma:g}" for (threshold, gamma), lane in OVER_BOTH.items()}
    oracle = next(lane for lane in means if family_of(lane) == ORACLE)
    form = "{:.2f}×".format
    best_k, best = means[fixed].idxmax(axis=1), means[both].idxmax(axis=1)
    table = pd.DataFrame(
        {
            "best k": means[fixed].max(axis=1).map(form) + " (k = " + best_k.map(lengths).astype(str) + ")",
            "AdaEDL published": means[ADAEDL].map(form),
            "AdaEDL best": means[both].max(axis=1).map(form) + " (" + best.map(settings) + ")",
            THROUGHPUT: means[THROUGHPUT].map(form),
            "oracle": means[oracle].map(form),
        }
    )
    yield "## Every cell\n"
    yield "Mean speedups over the target alone. Best k and best AdaEDL are picked in hindsight.\n"
    yield markdown(named_rules(table))
