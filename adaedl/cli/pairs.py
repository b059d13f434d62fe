"""`pairs`: list the presets and which of them are cached on this machine."""

import argparse
from pathlib import Path

from adaedl.cli.common import finish, json_text
from adaedl.cli.tables import left_aligned
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, Preset, resolve

SUMMARY = "List the presets and which of them are cached on this machine."


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, metavar="FILE", help="write the list")


def run(args: argparse.Namespace) -> int:
    """List the presets, or only the pair of --pair."""
    from adaedl.models.cpu.int8_cache import int8_folder, kept_bytes
    from adaedl.pairs.devices import pick_device, pick_dtype, why_no_int8

    device = pick_device(args.device)
    dtype = pick_dtype(device, args.dtype)
    # --pair with the default pair cannot be told from no --pair, so both list all presets.
    chosen = PRESETS.values() if args.pair == DEFAULT_PAIR else [resolve(args.pair)]
    rows = [describe_preset(preset) for preset in chosen]
    report = (
        f"{presets_table(rows)}\n\nThis machine runs them on {device}/{str(dtype).removeprefix('torch.')}."
    )
    if (reason := why_no_int8(device)) and any(preset.needs_int8 for preset in chosen):
        names = ", ".join(preset.name for preset in chosen if preset.needs_int8)
        report += f"\nNot offered here: {names}, because {reason}."
    if kept := kept_bytes():
        report += f"\nint8 weights take {kept / 1e9:.1f} GB in {int8_folder()}, which you can delete."
    return finish(args.json, lambda: json_text(rows), report)


def describe_preset(preset: Preset) -> dict:
    """Return a preset as a JSON object."""
    from adaedl.pairs.weights import cached_weights

    return {
        "name": preset.name,
        "target": preset.target,
        "draft": preset.draft_name,
        "min_memory_gib": preset.min_memory_gib,
        "cached": all(cached_weights(name) for name in (preset.target, preset.draft) if name),
        "gated": preset.gated,
        "description": preset.description,
        "lanes": list(preset.lanes),
    }


def presets_table(rows: list[dict]) -> str:
    import pandas as pd

    cells = [
        {
            **row,
            "memory GiB": f"{row['min_memory_gib']:g}" if row["min_memory_gib"] else "–",
            "cached": "yes" if row["cached"] else "no",
        }
        for row in rows
    ]
    columns = ["name", "target", "draft", "memory GiB", "cached", "description"]
    return left_aligned(pd.DataFrame(cells, columns=columns))
