"""The results of a sweep for assets/js/sweep/results.js: rows, their summary, and the files of both."""

import base64
import json
from datetime import UTC, datetime

import pandas as pd

from adaedl.errors import Sentence, UserError
from adaedl.measure.sweep import (
    CELL,
    MAX_ROWS,
    MAX_TABLE_BYTES,
    MAX_TEMPERATURES,
    NUMBERS,
    PROMPT_TEXT,
    SETUP,
    rows_from_csv,
    summarise,
    to_parquet,
)
from adaedl.request import MAX_LANES
from adaedl.stopping import make_stopper
from adaedl.system.machine import device_name
from components.parts.folders import ASSETS
from components.parts.texts import in_all_languages, texts

EXAMPLE = ASSETS / "examples" / "sweep" / "sweep.csv"
MOST_NUMBER = 1e12  # far above any measurement, yet sums of such numbers stay finite
NEEDED = [*SETUP, *CELL, "lane", "stopper", "speedup"]
MOST_KINDS = 50  # of prompts; a figure cannot show more distinctly
MOST_GROUPS = 6000  # each has an interval


def describe_results(rows: pd.DataFrame, key: str, **values) -> str:
    """Return the value of the results part: the rows (in the format of `adaedl.measure.sweep.to_frame`),
    their summary, and the heading (`key` of assets/text, with `values`)."""
    texts()[key]
    first = rows.iloc[0]
    prompts = list(dict.fromkeys(text for text in rows[PROMPT_TEXT] if isinstance(text, str)))
    index = {text: number for number, text in enumerate(prompts)}
    results = {
        "about": {"key": key, "values": values},
        "setup": {
            name: first[name].item() if hasattr(first[name], "item") else first[name]
            for name in ("pair", "device", "dtype", "verification", "max_new_tokens")
        },
        "lanes": list(dict.fromkeys(rows["lane"])),
        "summary": records(summarise(rows)),
        "kinds": records(summarise(rows, by_kind=True)),
        # Without the last column, the prompts' texts, which would be repeated in every row.
        "csv": rows.drop(columns=PROMPT_TEXT).to_csv(index=False),
        "prompts": prompts,
        "row_prompts": [index.get(text) for text in rows[PROMPT_TEXT]],
    }
    # The server never sends a literal <, so this text is harmless even if it is parsed as HTML.
    return json.dumps(results, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def example() -> str:
    """Return the shipped results, with the date and machine of the measurement; assets/examples/make.sh
    remakes them."""
    about = json.loads(EXAMPLE.with_suffix(".json").read_text("utf-8"))
    return describe_results(rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name), "sweep.about_example", **about)


def describe_example() -> None:
    """Record the date and machine of the example's measurement; run this right after the measurement."""
    import torch

    device = rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name)["device"][0]
    about = {
        "date": datetime.fromtimestamp(EXAMPLE.stat().st_mtime, UTC).date().isoformat(),
        "processor": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    EXAMPLE.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def open_rows(content: bytes) -> pd.DataFrame:
    """Return the rows of an uploaded CSV file.

    Raises:
        UserError: the file is too large or is not a sweep's.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise UserError(
            "The file is {:.1f} MB; the page opens sweeps of at most {} MB.",
            len(content) / 2**20,
            MAX_TABLE_BYTES // 2**20,
        )
    rows = rows_from_csv(content, Sentence("The file"))
    if rows.empty:
        raise UserError("The file has no rows; open a sweep saved by this program.")
    for count, most, what in (
        (len(rows), MAX_ROWS, Sentence("rows")),
        (rows["lane"].nunique(), MAX_LANES, Sentence("lanes")),
        (rows["temperature"].nunique(), MAX_TEMPERATURES, Sentence("temperatures")),
        (rows["kind"].nunique(), MOST_KINDS, Sentence("kinds of prompts")),
        (
            len(rows[["lane", "temperature", "kind"]].drop_duplicates()),
            MOST_GROUPS,
            Sentence("combinations of lane, temperature and kind of prompt"),
        ),
    ):
        if count > most:
            raise UserError("The file has {:,} {}; the page shows at most {:,}.", count, what, most)
    missing = rows[NEEDED].isna().any()
    if missing.any():
        raise UserError("The file has a row without {}.", missing.idxmax())
    large = (rows[NUMBERS].abs() > MOST_NUMBER).any()
    if large.any():
        raise UserError("The file has an impossible value for {}.", large.idxmax())
    for lane in rows["lane"].unique():
        make_stopper(lane)
    return rows


def parquet(csv: str) -> dict[str, object]:
    """Convert rows from CSV to a Parquet file in base64; if they are invalid, return an error instead."""
    try:
        content = to_parquet(open_rows(str(csv).encode(errors="replace")))
    except UserError as error:
        return {"error": in_all_languages(error.sentence)}
    return {"base64": base64.b64encode(content).decode()}


def records(table: pd.DataFrame) -> list[dict]:
    """Return a table's rows, with None for undefined numbers."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


if __name__ == "__main__":
    describe_example()
