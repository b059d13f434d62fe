"""Test the paper's claims on any pair: numbers with intervals and a plain verdict for each claim.

The sweep is replayed: each text is recorded once and every stopper replayed on it, which reproduces its
rounds exactly and models its times from measured ones (`adaedl.replay.replay`). A smaller sweep that really
runs measures the error of the timing model. The claims are AdaEDL's (arXiv 2410.18351), except the last, our
own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adaedl.measure.sweep import Grid, Prompt
from adaedl.metrics import BASELINE
from adaedl.statistics import Mean, geometric_mean
from adaedl.stopping import Fixed, format_spec

TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.3, 1.7)
ADAEDL = "adaedl"
SCORED = "adaedl:score_temperature=1.0"
OURS = "throughput:score_temperature=1.0"
OURS_AS_SAMPLED = "throughput"
ORACLE = "oracle"
FIXED = {f"k={k}": format_spec(Fixed(k=k)) for k in range(1, 9)}
RIVALS = ("max_confidence", "svip", "margin", "heuristic", "confidence", "bandit")
THRESHOLDS = {value: f"adaedl:threshold={value}" for value in (0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8)} | {
    0.4: ADAEDL
}
SCORED_THRESHOLDS = {
    value: f"adaedl:threshold={value},score_temperature=1.0" for value in (0.1, 0.2, 0.3)
} | {0.4: SCORED}
GAMMAS = {value: f"adaedl:gamma={value}" for value in (0.05, 0.1, 0.3, 0.4, 0.6)} | {0.2: ADAEDL}
LANES = tuple(
    dict.fromkeys(
        (
            BASELINE,
            *FIXED.values(),
            ADAEDL,
            SCORED,
            *SCORED_THRESHOLDS.values(),
            *RIVALS,
            OURS_AS_SAMPLED,
            OURS,
            ORACLE,
            *sorted(THRESHOLDS.values()),
            *sorted(GAMMAS.values()),
        )
    )
)
MEASURED = (BASELINE, FIXED["k=2"], FIXED["k=4"], ADAEDL, "svip", OURS)
FIGURES = {  # drawn by components.study_figures: file, what it shows
    "study-speedup.svg": "Speedup over temperature of AdaEDL, throughput, fixed draft lengths and the oracle",
    "study-settings.svg": "Speed of AdaEDL over λ0 and over γ, at each temperature",
}
PROMPT_KEY = ["kind", "prompt", "prompt_digest"]


def study_grid(prompts: tuple[Prompt, ...], max_new_tokens: int = 48) -> Grid:
    """Return the grid of a study's replayed sweep."""
    return Grid(prompts, TEMPERATURES, LANES, max_new_tokens=max_new_tokens, replayed=True)


def measured_grid(prompts: tuple[Prompt, ...], max_new_tokens: int = 48) -> Grid:
    """Return the grid that really runs, to measure the error of modelled speedups."""
    return Grid(prompts, TEMPERATURES, MEASURED, max_new_tokens=max_new_tokens)


@dataclass(frozen=True)
class Finding:
    """The result for one claim: a verdict in a sentence or two and the table behind it, with lanes as rows
    and temperatures as columns."""

    claim: str
    verdict: str
    table: pd.DataFrame


def findings(frame: pd.DataFrame) -> list[Finding]:
    """Return a finding for each claim, from the rows of a study's replayed sweep
    (`adaedl.measure.sweep.read_rows`)."""
    speedups = speedup_table(frame)
    return [
        _against_fixed(speedups),
        _against_rivals(speedups),
        _at_high_temperature(speedups),
        _over_setting(
            speedups,
            THRESHOLDS,
            0.4,
            "λ0",
            "On short texts the initial threshold λ0 matters, because λ moves slowly.",
        ),
        _over_setting(speedups, GAMMAS, 0.2, "γ", "γ = 0.2 is a good default."),
        _scored(speedups),
        _over_setting(
            speedups,
            SCORED_THRESHOLDS,
            0.2,
            "λ0",
            "With q at temperature 1, λ0 = 0.2 works at every temperature.",
        ),
        _ours(speedups),
    ]


def speedup_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the speedup by prompt and temperature (rows) and lane (columns), complete cells only. Seeds of
    one prompt, and prompts with the same text, are averaged."""
    return _by_prompt(frame).unstack("lane").dropna()


def _by_prompt(frame: pd.DataFrame) -> pd.Series:
    keys = ["prompt_digest", "temperature", "lane"]
    return np.exp(np.log(frame.set_index(keys)["speedup"]).groupby(level=keys).mean())


def mean_speedups(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean over prompts by temperature (rows) and lane (columns)."""
    return np.exp(np.log(speedups).groupby(level="temperature").mean())


def _temperatures(speedups: pd.DataFrame) -> dict[float, pd.DataFrame]:
    return {t: part.droplevel("temperature") for t, part in speedups.groupby(level="temperature")}


def _gains(speedups: pd.DataFrame, lane: str, others: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the gain of a lane over others in percent (geometric mean over prompts), as numbers and as text
    with intervals. `others` maps the name to show to the column."""
    means, words = {}, {}
    for temperature, part in _temperatures(speedups).items():
        column = {name: geometric_mean(part[lane] / part[other]) for name, other in others.items()}
        means[temperature] = {name: 100 * (found.mean - 1) for name, found in column.items()}
        words[temperature] = {
            name: _with_interval(Mean(*(100 * (ratio - 1) for ratio in found)), "{:+.1f}", "%")
            for name, found in column.items()
        }
    return pd.DataFrame(means), pd.DataFrame(words)


def _with_interval(found: Mean, form: str, unit: str) -> str:
    mean, low, high = found
    interval = f" [{form.format(low)}, {form.format(high)}]" if low == low else ""  # NaN with few prompts
    return f"{form.format(mean)}{unit}{interval}"


def best_in_hindsight(speedups: pd.DataFrame, lanes: Iterable[str]) -> pd.Series:
    """Return, for each cell, the speedup of the lane with the best mean at its temperature."""
    lanes = list(lanes)
    mean = mean_speedups(speedups[lanes]).idxmax(axis=1)
    return pd.Series([row[mean[key[-1]]] for key, row in speedups.iterrows()], speedups.index)


def _best_elsewhere(speedups: pd.DataFrame, lanes: Iterable[str]) -> pd.Series:
    """Return, for each cell, the speedup of the lane that is best on the other prompts at its temperature."""
    lanes = list(lanes)
    logs = np.log(speedups[lanes])
    others = logs.groupby(level="temperature").transform("sum") - logs
    return pd.Series(
        [row[choice] for choice, (_, row) in zip(others.idxmax(axis=1), speedups.iterrows(), strict=True)],
        speedups.index,
    )


def _against_fixed(speedups: pd.DataFrame) -> Finding:
    chosen = speedups.assign(
        best=best_in_hindsight(speedups, FIXED.values()), elsewhere=_best_elsewhere(speedups, FIXED.values())
    )  # columns beside the lanes
    names = FIXED | {"the best k, in hindsight": "best", "k chosen on other prompts": "elsewhere"}
    means, words = _gains(chosen, ADAEDL, names)
    ours = means.loc["k chosen on other prompts"]
    over = means.iloc[: len(FIXED)].stack()
    verdict = (
        f"AdaEDL's gain over a single length is {over.min():+.0f}% to {over.max():+.0f}%; it is 10% or more "
        f"in {(over >= 10).sum()} of {len(over)} combinations of length and temperature. Its gain over a "
        f"length chosen on other prompts is {ours.min():+.1f}% to {ours.max():+.1f}%: "
        f"{_verdict(ours.min() >= 10, ours.max() < 10, 'the gain depends on the temperature')}"
    )
    return Finding("AdaEDL is 10–57% faster than fixed draft lengths.", verdict, words)


def _against_rivals(speedups: pd.DataFrame) -> Finding:
    means, words = _gains(speedups, ADAEDL, {lane: lane for lane in (*RIVALS, OURS)})
    over = means.loc[list(RIVALS)].stack()
    (lane, temperature), most = over.idxmax(), over.max()
    verdict = (
        f"Its gain is {most:+.1f}% at best (over {lane} at temperature {temperature:g}), "
        f"{over.min():+.1f}% at worst and {over.mean():+.1f}% on average: "
        f"{_verdict(over.min() >= 0, over.mean() < 0, 'faster than some of them, slower than others')}"
    )
    return Finding("AdaEDL is up to 10% faster than other training-free stoppers.", verdict, words)


def _at_high_temperature(speedups: pd.DataFrame) -> Finding:
    lanes = [*FIXED.values(), ADAEDL, SCORED, *RIVALS, OURS_AS_SAMPLED, OURS, ORACLE]
    words, means = {}, {}
    for temperature, part in _temperatures(speedups).items():
        found = {lane: geometric_mean(part[lane]) for lane in lanes}
        means[temperature] = {lane: mean for lane, (mean, *_) in found.items()}
        words[temperature] = {lane: _with_interval(mean, "{:.2f}", "×") for lane, mean in found.items()}
    hot = max(means)
    ours, fixed = means[hot][ADAEDL], {k: means[hot][lane] for k, lane in FIXED.items()}
    slow = [k for k, speedup in fixed.items() if speedup < 1]
    verdict = (
        f"At temperature {hot:g} AdaEDL reaches {ours:.2f}× and fixed lengths "
        f"{min(fixed.values()):.2f}× to {max(fixed.values()):.2f}×. Fixed lengths slower than autoregressive "
        f"decoding: {', '.join(slow) or 'none'}; "
        f"{_verdict(ours >= 1 and bool(slow), ours < 1, 'AdaEDL is faster, and so is every fixed length')}"
    )
    return Finding(
        "AdaEDL is robust at high temperatures, where fixed lengths fall below autoregressive decoding.",
        verdict,
        pd.DataFrame(words),
    )


def _over_setting(
    speedups: pd.DataFrame, lanes: dict[float, str], default: float, name: str, claim: str
) -> Finding:
    """Return how a setting of AdaEDL changes its speedup: the best value, and the loss of the default."""
    averages = mean_speedups(speedups)
    means = pd.DataFrame({value: averages[lanes[value]] for value in sorted(lanes)}).T
    best = means.idxmax()
    lost = 100 * (1 - means.loc[default] / means.max())
    spread = 100 * (1 - means.min() / means.max())
    verdict = (
        f"The best {name} is {', '.join(f'{best[t]:g} at temperature {t:g}' for t in best.index)}. The "
        f"default, {default:g}, is at most {lost.max():.1f}% slower than the best; the worst value shown is "
        f"{spread.min():.1f}% to {spread.max():.1f}% slower."
    )
    table = means.map(lambda value: f"{value:.3f}×").rename_axis(name)
    return Finding(claim, verdict, table)


def _scored(speedups: pd.DataFrame) -> Finding:
    averages = mean_speedups(speedups)
    tables, gains = [], {}
    for rule, (sampled, scored) in {ADAEDL: (ADAEDL, SCORED), "throughput": (OURS_AS_SAMPLED, OURS)}.items():
        lanes = {f"{rule}, q as sampled": sampled, f"{rule}, q at temperature 1": scored}
        tables.append(
            pd.DataFrame({name: averages[lane].map("{:.2f}×".format) for name, lane in lanes.items()}).T
        )
        means, words = _gains(speedups, scored, {f"{rule}, gain from q at temperature 1": sampled})
        tables.append(words)
        gains[rule] = means.iloc[0].drop([t for t in means if t in (0, 1)])  # there both are the same
    gained = ", ".join(f"{gain:+.1f}% at temperature {t:g}" for t, gain in gains[ADAEDL].items())
    ours, mixed = gains["throughput"], "better at some temperatures, worse at others"
    verdict = (
        f"A low temperature sharpens q, which then looks more certain than the target's agreement justifies. "
        f"Taking the entropy of q at temperature 1 instead (`{SCORED}`) changes the speed by {gained}: "
        f"{_verdict((gains[ADAEDL] < 0).all(), (gains[ADAEDL] >= 0).all(), mixed)} "
        f"Our own rule gains {ours.min():+.1f}% to {ours.max():+.1f}% from it."
    )
    return Finding("The bound should use the entropy of q as sampled.", verdict, pd.concat(tables))


def _ours(speedups: pd.DataFrame) -> Finding:
    others = [*FIXED.values(), *(lane for lane in LANES if lane.partition(":")[0] == ADAEDL), *RIVALS]
    chosen = speedups.assign(
        best=best_in_hindsight(speedups, others), elsewhere=_best_elsewhere(speedups, others)
    )
    means, words = _gains(
        chosen, OURS, {"the best other, in hindsight": "best", "a rule chosen on other prompts": "elsewhere"}
    )
    averages = mean_speedups(chosen)
    share = 100 * averages[OURS] / averages[ORACLE]
    words.loc["percent of oracle"] = [f"{share[t]:.0f}%" for t in words.columns]
    over = means.loc["the best other, in hindsight"]
    verdict = (
        f"Its gain over the best of {len(others)} other settings, picked in hindsight at each temperature, "
        f"is {over.min():+.1f}% to {over.max():+.1f}%; it reaches {share.min():.0f}% to {share.max():.0f}% "
        "of the oracle's speed: "
        f"{_verdict(over.min() >= 0, over.max() < 0, 'faster at some temperatures, slower at others')}"
    )
    return Finding(f"`{OURS}`, which has no threshold, is as fast as the best other rule.", verdict, words)


def _verdict(holds: bool, fails: bool, between: str) -> str:
    return "the claim holds here." if holds else "the claim does not hold here." if fails else f"{between}."


def model_error(modelled: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return mean speedups by lane and temperature over the cells that both sweeps have: modelled, measured,
    and the error of the modelled one in percent."""
    keys = [*PROMPT_KEY, "temperature", "seed", "lane"]
    shared = modelled[keys].merge(measured[keys])
    means = pd.DataFrame(
        {
            name: mean_speedups(_by_prompt(frame.merge(shared)).unstack("lane")).stack()
            for name, frame in {"modelled": modelled, "measured": measured}.items()
        }
    ).swaplevel()
    means = means.drop(index=BASELINE, level="lane").sort_index()
    return means.assign(error=100 * (means["modelled"] / means["measured"] - 1)).reset_index()


def report(frame: pd.DataFrame, measured: pd.DataFrame, machine: str) -> str:
    """Return the study as Markdown, from the rows of its two sweeps."""
    first = frame.iloc[0]
    prompts = frame.drop_duplicates(PROMPT_KEY)
    kinds = ", ".join(f"{count} {kind}" for kind, count in prompts["kind"].value_counts(sort=False).items())
    adaedl = frame[frame["lane"] == ADAEDL]
    parts = [
        "# AdaEDL's claims, measured\n",
        f"Pair `{first['pair']}` on {machine}, {first['dtype']}; {len(prompts)} prompts ({kinds}), up to "
        f"{first['max_new_tokens']} new tokens, shared noise. Run it on your machine with "
        "`python -m adaedl study`.\n",
        "Speedups are over autoregressive decoding of the same text. Each text was recorded once and every "
        "stopper replayed on it: rounds are exactly those of a real run, and times are modelled from real "
        "rounds of that text. A mean speedup is the geometric mean over prompts, with its 95% t interval.\n",
        "\n\n".join(f"![{what}]({file})" for file, what in FIGURES.items()) + "\n",
        "## The pair at each temperature\n",
        markdown(_conditions(adaedl)),
    ]
    for finding in findings(frame):
        parts += [f"## {finding.claim}\n", f"{finding.verdict}\n", markdown(finding.table)]
    errors = model_error(frame, measured)
    off = errors["error"].abs()
    parts += [
        "## Error of the timing model\n",
        f"On {len(measured.drop_duplicates(PROMPT_KEY))} of the prompts the races were really run as well: "
        f"modelled mean speedups are off by {off.mean():.1f}% on average and {off.max():.1f}% at most.\n",
        "Modelled / measured:\n",
        markdown(_model_table(errors)),
    ]
    return "\n".join(parts)


def _conditions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the pair's acceptance and cost at each temperature, from the rows of one lane."""
    means = rows.groupby("temperature")[["acceptance_rate", "mean_beta", "cost_ratio"]].mean()
    table = pd.DataFrame(
        {
            "acceptance rate of AdaEDL's drafts": means["acceptance_rate"].map("{:.2f}".format),
            "mean β of AdaEDL's drafts": means["mean_beta"].map("{:.2f}".format),
            "cost ratio c": means["cost_ratio"].map("{:.3f}".format),
        }
    )
    return table.T


def _model_table(errors: pd.DataFrame) -> pd.DataFrame:
    words = [f"{row.modelled:.2f}× / {row.measured:.2f}× ({row.error:+.1f}%)" for row in errors.itertuples()]
    return errors.assign(words=words).pivot(index="lane", columns="temperature", values="words")


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, with temperatures as columns."""
    head = [table.index.name or "", *(f"T = {t:g}" for t in table.columns)]
    rows = [[str(index), *map(str, row)] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
