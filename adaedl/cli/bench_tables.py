"""The reports of `bench`."""

from adaedl.cli.tables import describe_machine, metrics_table, times


def bench_report(result: dict) -> str:
    """Return the report of `bench`, from its JSON object."""
    import pandas as pd

    lines = [
        describe_machine(result["machine"]),
        f"reading the target's weights once: {result['weights_read_ms']:.1f} ms, "
        f"{result['bandwidth_gb_s']:.0f} GB/s",
        *forward_lines(result),
        f"draft step: {result['draft_step_ms']:.1f} ms; shared noise: {result['noise_ms']:.2f} ms per "
        "position",
    ]
    conditions = ["temperature", "verification"]
    summary = {(row["temperature"], row["verification"]): row for row in result["summary"]}
    rules = {row["verification"] for row in result["summary"]}
    frame = pd.DataFrame(result["results"])
    for (temperature, verification), rows in frame.groupby(conditions, sort=False):
        lines += [
            "",
            f"temperature {temperature:g}" + (f", {verification}" if len(rules) > 1 else ""),
            metrics_table(rows.drop(columns=[*conditions, "settings"])),
            *comparison_lines(summary[temperature, verification]),
            *settings_lines(rows.to_dict("records")),
        ]
    return "\n".join(lines)


def comparison_lines(row: dict) -> list[str]:
    """Return a comparison of the systems at one temperature, from its row of the summary."""
    lines = [
        f"best lane, {row['best_lane']}: {times(row['best_lane_over_autoregressive'])} the speed of "
        "autoregressive",
        f"best fixed k: {row['best_fixed'] or '–'}",
        f"adaedl: {times(row['adaedl_over_best_fixed'])} the speed of the best fixed k",
        f"autoregressive: {times(row['autoregressive_over_transformers'])} the speed of transformers' "
        "generate",
    ]
    if row["least_fixed_over_assisted"] is not None:
        lowest = times(row["least_fixed_over_assisted"])
        lines.append(
            f"fixed: at least {lowest} the speed of transformers' assisted generation with the same k"
        )
    if row["best_lane_over_best_assisted"] is not None:
        ratio = times(row["best_lane_over_best_assisted"])
        lines.append(f"best lane: {ratio} the speed of transformers' fastest assisted generation")
    return lines


def shape_report(measured: dict) -> str:
    """Return the report of `bench --shapes` for one shape."""
    import pandas as pd

    target, draft = measured["target"], measured["draft"]
    lines = [
        f"{measured['shape']} ({measured['like']}), random weights, scripted acceptance",
        describe_machine(measured["machine"]),
        f"reading the target's {target['weights_bytes'] / 1e9:.2f} GB of weights once: "
        f"{target['weights_read_ms']:.2f} ms, {target['bandwidth_gb_s']:.0f} GB/s",
        *forward_lines(measured),
        f"draft step: {measured['draft_step_ms']:.2f} ms, {measured['draft_step_over_read']:.2f} times as "
        f"long as reading its {draft['weights_bytes'] / 1e9:.2f} GB",
        metrics_table(pd.DataFrame(measured["results"]).drop(columns=["temperature", "settings"])),
        *settings_lines(measured["results"]),
        f"weights generated in {measured['made_s']:.1f} s",
        *([f"peak memory of this process: {measured['peak_mib']:,} MiB"] if measured["peak_mib"] else []),
        *(f"{system}: {reason}" for system, reason in measured["left_out"].items()),
    ]
    return "\n".join(lines)


def forward_lines(measured: dict) -> list[str]:
    """Return the durations of target forward passes by number of tokens, also relative to a read of its
    weights."""
    forwards = ", ".join(f"{width}: {ms:.1f}" for width, ms in measured["target_forward_ms"].items())
    over_read = ", ".join(
        f"{width}: {over:.2f}" for width, over in measured["target_forward_over_read"].items()
    )
    return [
        f"target forward by number of tokens, ms: {forwards}",
        f"the same, relative to that read: {over_read}",
    ]


def settings_lines(rows: list[dict]) -> list[str]:
    """Return the settings of transformers in the rows where they are not its defaults."""
    return [
        f"{row['lane']}: " + ", ".join(f"{name} {value:g}" for name, value in row["settings"].items())
        for row in rows
        if row["settings"]
    ]
