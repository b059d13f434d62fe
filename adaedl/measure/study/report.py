"""The report of a study, docs/study.md, written from the tables alone."""

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
from adaedl.measure.study.lanes import ADAEDL, FIXED_LENGTHS, ORACLE, OVER_BOTH, THROUGHPUT, family_of, fixed
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
    results = findings(speedups, tables.of_pairs(bounds, setup.pairs))
    parts = [
        "# When stopping early pays\n",
        _introduction(every, setup),
        "## The paper's claims, each in a sentence\n",
        "A cell is one combination of pair, verification rule, temperature and cost ratio. The claims count "
        "the cells with a modelled cost ratio.\n",
        "\n".join(f"- *{finding.claim}* {finding.verdict}" for finding in results) + "\n",
        *_gain_figures(),
        *_map(speedups),
        *_bound(),
        "## The numbers behind the claims\n",
        "The tables show the lowest and the highest value over verification rules and temperatures. The best "
        "settings and lengths are those that are best on the other prompts.\n",
    ]
    for finding in results:
        sentences = (finding.verdict, *finding.notes)
        parts += [
            f"### {finding.claim}\n",
            "\n".join(f"- {sentence}" for sentence in sentences) + "\n",
            markdown(finding.table),
        ]
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
        "was recorded once under each verification rule and temperature, and every stopper was replayed on "
        "each recording. Under shared noise and at temperature 0, a replay has the rounds of a real run. "
        "Under speculative sampling it has the same distribution. `python -m adaedl study` runs the study, "
        "and `python -m components.study_figures FOLDER` draws its figures.\n\n"
        "The cost ratio c is the duration of a draft step divided by the duration of a target step. Besides "
        f"the measured c, the study models c = {listed(f'{c:g}' for c in COSTS)}: a draft step then takes c "
        "target steps, and everything else takes as long as it does on this machine. A speedup compares a "
        "lane with the target alone on the same text. Means over prompts are geometric, with 95% t "
        "intervals. `throughput` starts each text from these times and from how often drafts were accepted "
        "in the cell's earlier texts.\n"
    )


def _gain_figures() -> Iterable[str]:
    yield "## What AdaEDL gains over fixed lengths\n"
    yield (
        "Each line is one temperature, with 95% intervals. The shaded band is the paper's "
        f"{BAND[0]}–{BAND[1]}%, and diamonds mark the measured c. These figures use speculative sampling, "
        "the paper's verification rule:\n"
    )
    for (verification, choice), file in GAIN_FIGURES.items():
        if verification == "speculative":
            yield f"![Gain of AdaEDL, {choice}, over fixed lengths, by c]({file})\n"
    others = listed(
        f"[{choice}]({file})"
        for (verification, choice), file in GAIN_FIGURES.items()
        if verification != "speculative"
    )
    yield f"The same figures under shared noise: {others}.\n"


def _map(speedups: pd.DataFrame) -> Iterable[str]:
    best = best_rules(speedups)
    shares = 100 * best["rule"].value_counts(normalize=True)
    first, *others = (f"`{rule}` {{}}in {share:.0f}%" for rule, share in shares.items())
    wins = listed([first.format("is fastest ") + " of the cells", *(other.format("") for other in others)])
    yield "## The map: which rule wins\n"
    yield f"![The fastest rule by c and temperature]({MAP_FIGURE})\n"
    yield (
        "Each cell names the fastest rule and its gain over the best fixed length. Every rule and the fixed "
        "length run with the settings that are best on the other prompts. The fastest rule is chosen in "
        "hindsight, so the gains are optimistic. A star marks a gain whose 95% interval excludes 0. "
        f"{wins}.\n"
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
    verb = "has" if len(faster) == 1 else "have"
    yield f"## `{THROUGHPUT}`, which has no threshold\n"
    yield (
        f"Over all cells, `{THROUGHPUT}` runs at {ratios['fixed'].min():.3f}× to "
        f"{ratios['fixed'].max():.3f}× the speed of the fixed length that is best in hindsight, and at "
        f"{_mean(ratios['fixed']):.3f}× on average. Its lowest speed is {ratios['alone'].min():.3f}× the "
        f"speed of the target alone. On average it reaches {100 * _mean(ratios['oracle']):.0f}% of the "
        "oracle's speed. "
        + (f"{listed(faster)} {verb}" if faster else "No other rule has")
        + " a higher mean speed.\n"
    )
    yield _held_out_ratios(every, setup)
    yield "Mean speedup of each rule over all cells, with the one setting that has the highest mean:\n"
    table = pd.DataFrame(
        {
            "speedup": ranking["speedup"].map("{:.3f}×".format),
            f"speed of `{THROUGHPUT}` relative to it": ranking["ours"].map("{:.3f}×".format),
        }
    ).set_index("`" + ranking["lane"] + "`")
    yield markdown(table.rename_axis("rule"))
    yield (
        f"Lowest and highest speed of `{THROUGHPUT}` for each pair and c, relative to the fixed length that "
        "is best in hindsight:\n"
    )
    yield markdown(over_costs(ours.ratios(every)["fixed"], "{:.2f}"))
    if missed.empty:
        yield f"Every cell reaches {ours.GOAL:g}× of that length's speed.\n"
    else:
        yield f"{len(missed)} of {len(ours.ratios(every))} cells stay below {ours.GOAL:g}×:\n"
        table = missed.map("{:.3f}".format).unstack("cost", sort=False)
        columns = [cost for cost in COST_NAMES if cost in table]
        yield markdown(named_rules(table[columns].fillna("")))


def _held_out_ratios(every: pd.DataFrame, setup: Setup) -> str:
    if not setup.held_out:
        return ""
    own = ours.ratios(tables.of_pairs(every, [setup.held_out]))
    return (
        f"On the held-out pair `{setup.held_out}` it runs at {own['fixed'].min():.3f}× to "
        f"{own['fixed'].max():.3f}× the speed of the best fixed length, and at {_mean(own['fixed']):.3f}× on "
        "average.\n"
    )


def _mean(ratios: pd.Series) -> float:
    return geometric_mean(ratios).mean


def _thumb(every: pd.DataFrame, texts: pd.DataFrame, setup: Setup) -> Iterable[str]:
    odd, even = thumb.halves(every)
    yield "## A rule of thumb for λ and γ\n"
    if even.empty or odd.empty:
        yield "A rule of thumb needs two prompts of one kind: one to fit it and one to test it.\n"
        return
    fitted = thumb.fit(tables.of_pairs(odd, setup.pairs), texts)
    tested = thumb.speeds(fitted, even, texts)
    lost = thumb.losses(tested)
    better = 100 * (_mean(tested["thumb"] / tested["published"]) - 1)
    yield (
        f"Stop where the draft's entropy exceeds H* = {fitted.a:.2g} · c^−{fitted.b:.2g} · (β / (1 − "
        f"β))^{fitted.d:.2g} nats, where β is the mean acceptance probability of the pair. As settings of "
        "AdaEDL: γ = 0.2 and λ = 1 − √(0.2·H*). At "
        f"β = 0.5, λ is {fitted.threshold(0.02, 0.5):.2f} for c = 0.02 and "
        f"{fitted.threshold(0.2, 0.5):.2f} for c = 0.2. At β = 0.9, it is {fitted.threshold(0.02, 0.9):.2f} "
        f"and {fitted.threshold(0.2, 0.9):.2f}.\n"
    )
    yield (
        "The rule of thumb was fitted on the odd prompts of the map's pairs and tested on the even prompts. "
        "In each cell the test uses the replayed λ and γ with the nearest entropy limit. Over the tested "
        f"cells, its mean speed differs from the speed of the published settings by {better:+.1f}%. The "
        "table shows the loss against the best λ and γ in hindsight:\n"
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
    fewest, most = errors["prompts"].min(), errors["prompts"].max()
    prompts = count_words(most, "prompt") if fewest == most else f"{fewest} to {most} prompts"
    size = same["error"].abs()
    sentences = [f"Real runs with each pair: {prompts}."]
    if len(same):
        sentences.append(
            f"Under shared noise the modelled mean speedups are off by {size.mean():.1f}% on average and by "
            f"{size.max():.1f}% at most. A real run and a replay have the same rounds there, except with "
            f"`{THROUGHPUT}`, which depends on durations."
        )
    known = drawn[drawn["modelled_low"].notna()]
    if len(known):
        sentences.append(
            "Under speculative sampling the drafts differ, so only means can be compared: their intervals "
            f"overlap in {real_runs.overlapping(known).sum()} of {len(known)} comparisons."
        )
    yield " ".join(sentences) + " Modelled / measured speedup (error):\n"
    words = errors.apply(
        lambda row: f"{row['modelled']:.2f}× / {row['measured']:.2f}× ({row['error']:+.1f}%)", axis=1
    )
    table = words.unstack("lane", sort=False).rename(columns={fixed(4): "fixed:k=4"})  # its default k
    yield markdown(named_rules(table))


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
    yield "Mean speedups over the target alone. The best k and the best λ and γ are chosen in hindsight.\n"
    yield markdown(named_rules(table))
