"""The results of a sweep as assets/js/sweep/results.js draws them: rows, their summary by pandas, and the
files they are kept in."""

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
MOST_NUMBER = 1e12  # far above any measurement; sums of such numbers stay finite
NEEDED = [*SETUP, *CELL, "lane", "stopper", "speedup"]
MOST_KINDS = 50  # of prompts: more cannot be distinguished in a figure
MOST_GROUPS = 6000  # with an interval each


def describe_results(rows: pd.DataFrame, key: str, **values) -> str:
    """Return the value of the results part: rows (as from `adaedl.measure.sweep.to_frame`) with their
    summary, and the words that stand above them (`key` of assets/text)."""
    texts()[key]
    first = rows.iloc[0]
    told = {
        "about": {"key": key, "values": values},
        "setup": {
            name: first[name].item() if hasattr(first[name], "item") else first[name]
            for name in ("pair", "device", "dtype", "verification", "max_new_tokens")
        },
        "lanes": (lanes := list(dict.fromkeys(rows["lane"]))),
        "titles": {lane: title_of(lane) for lane in lanes},
        "summary": _records(summarise(rows)),
        "kinds": _records(summarise(rows, by_kind=True)),
        "csv": rows.to_csv(index=False),
    }
    # The server never sends a literal <, so this text is harmless even if it is parsed as HTML.
    return json.dumps(told, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def example() -> str:
    """Return the shipped results, with when and where they were measured; assets/examples/make.sh remakes
    them."""
    about = json.loads(EXAMPLE.with_suffix(".json").read_text("utf-8"))
    return describe_results(rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name), "sweep.about_example", **about)


def describe_example() -> None:
    """Write down when and where the example was measured; run it right after the measurement."""
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
        UserError: it is too large or not a sweep's.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise UserError(
            "The file has {:.1f} MB; the page opens sweeps of at most {} MB.",
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
    """Return rows given as CSV as a Parquet file in base64, or what is wrong with them in a sentence."""
    try:
        content = to_parquet(open_rows(str(csv).encode(errors="replace")))
    except UserError as error:
        return {"error": in_all_languages(error.sentence)}
    return {"base64": base64.b64encode(content).decode()}


def title_of(lane: str) -> str:
    """Return a lane's name as the other pages write it: with its draft length, even the default one."""
    k = make_stopper(lane).settings.get("k")
    return lane if k is None or "k=" in lane else f"{lane}:k={k}"


def _records(table: pd.DataFrame) -> list[dict]:
    """Return a table's rows, with None for undefined numbers."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


if __name__ == "__main__":
    describe_example()
