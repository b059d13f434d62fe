"""The table of `bench --table`, as in docs/performance.md, from a result that `bench` wrote."""

import json
from collections.abc import Callable

from adaedl.cli.tables import printable, times
from adaedl.errors import UserError

PUBLISHED = "adaedl"  # with the paper's settings
Condition = tuple[float, str]  # temperature and verification
NONE = "–"
RULES = {"shared_noise": "shared noise", "speculative": "speculative"}
PEERS = {
    "transformers_generate": "transformers `generate`",
    "transformers_prompt_lookup": "transformers prompt lookup",
    "transformers_assisted": "transformers assisted generation",
    "llama_cpp_generate": "llama.cpp",
    "llama_cpp_prompt_lookup": "llama.cpp prompt lookup",
}
SETTINGS = {"generate": "", "defaults": ", its defaults", "searched": ", the fastest settings found"}


def markdown_table(text: str, name: str) -> str:
    """Return a Markdown table of a result that `bench --json` wrote.

    It has one column for each temperature and verification rule, and one block of rows for each pair: the
    target alone, the best fixed length, AdaEDL as published and tuned, throughput, and other engines. A cell
    is the speedup over our autoregressive lane, with tokens per second in brackets.

    Args:
        text: the content of the file.
        name: the name of the file, for errors.

    Raises:
        UserError: the file is not such a result.
    """
    try:
        result = json.loads(text)
        pairs = result.get("pairs", [result])
        distinct = dict.fromkeys(_condition_of(row) for pair in pairs for row in pair["results"])
        conditions = sorted(distinct, key=lambda condition: condition[0])
        rows = [["", *_headings(conditions)]]
        rows.append(["---"] * len(rows[0]))
        for pair in pairs:
            rows.append([f"**{_cell_text(pair['pair']['name'])}**", *[""] * len(conditions)])
            rows += _block(pair, conditions)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError("{} was not written by bench --json; make a file with that command.", name) from None
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _condition_of(row: dict) -> Condition:
    # Files of older versions have one rule and do not name it.
    return row["temperature"], row.get("verification", "shared_noise")


def _headings(conditions: list[Condition]) -> list[str]:
    """Return the column headings. They name the verification rule if a temperature has two."""
    temperatures = [temperature for temperature, _ in conditions]
    words = [
        f"{temperature:g}" + (f", {RULES[rule]}" if temperatures.count(temperature) > 1 else "")
        for temperature, rule in conditions
    ]
    return [f"T = {words[0]}", *words[1:]]


def _block(measured: dict, conditions: list[Condition]) -> list[list[str]]:
    """Return the rows of one pair that have measurements."""
    results = {(*_condition_of(row), row["system"], row["lane"]): row for row in measured["results"]}
    best = {_condition_of(row): row["best_fixed"] for row in measured["summary"]}

    def speed(system: str, lane: str | None) -> Callable[[Condition], str]:
        return lambda condition: _speed(results.get((*condition, system, lane)))

    def best_fixed(condition: Condition) -> str:
        lane = best.get(condition)
        cell = speed("adaedl", lane)(condition)
        return cell if lane is None else f"{cell}, {_cell_text(lane.partition(':')[2])}"

    peers = dict.fromkeys((r["system"], r["lane"]) for r in measured["results"] if r["system"] != "adaedl")
    tuned = measured.get("tuned")
    cells = {
        "target alone": speed("adaedl", "autoregressive"),
        "best fixed length": best_fixed,
        "AdaEDL as published": speed("adaedl", PUBLISHED),
        **({f"AdaEDL tuned, `{_cell_text(tuned)}`": speed("adaedl", tuned)} if tuned else {}),
        "`throughput`": speed("adaedl", "throughput"),
        **{_peer(*peer): speed(*peer) for peer in peers},
    }
    rows = [[words, *map(cell, conditions)] for words, cell in cells.items()]
    return [row for row in rows if set(row[1:]) != {NONE}]


def _peer(system: str, lane: str) -> str:
    return PEERS.get(system, _cell_text(system)) + SETTINGS.get(lane, f", `{_cell_text(lane)}`")


def _speed(row: dict | None) -> str:
    if row is None or row["speedup"] is None:
        return NONE
    return f"{times(row['speedup'])} ({row['tokens_per_s']:.0f})"


def _cell_text(text: str) -> str:
    return printable(text).replace("|", "\\|").replace("\n", " ")
