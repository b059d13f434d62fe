"""Text that the commands print: tables of metrics, the pair, the machine."""

# Column headings of the numbers in adaedl.metrics, with units.
HEADERS = {
    "lane": "lane",
    "tokens": "tokens",
    "tokens_per_s": "tokens/s",
    "ms_per_token": "ms/token",
    "speedup": "speedup ×",
    "acceptance_rate": "accepted %",
    "draft_length": "drafted/round",
    "block_efficiency": "tokens/round",
    "mean_beta": "mean β",
    "cost_ratio": "cost ratio",
    "draft_share": "draft %",
    "wasted_share": "wasted %",
    "verify_share": "verify %",
    "overhead_share": "overhead %",
    "same_text": "same text",
    "timing_reliable": "timing",
    "unreliable": "timing unreliable",
    "percent_of_oracle": "% of oracle",
    "near_ties": "near ties",
    "temperature": "temperature",
    "prompts": "prompts",
    "speedup_low": "95% low",
    "speedup_high": "95% high",
    "repeats": "repeats",
}
COUNTS = ("tokens", "near_ties", "prompts", "repeats", "unreliable")
NOISE = "⚠"  # marks a speedup with unreliable timing


def metrics_table(frame, sample: str = "prompt") -> str:
    """Return a table of metrics as text: rounded, units in the headings, shares in percent, – for no value.
    Speedups with unreliable timing are marked. `sample` names what each of the `speedups` belongs to."""
    cells = frame.drop(columns="timing_note", errors="ignore")
    for column in ("speedups", "unreliable"):
        if column in cells and not cells[column].astype(bool).any():
            del cells[column]
    for column in cells:
        if column == "speedups":
            cells[column] = [" ".join(f"{v:.2f}" for v in values) or "–" for values in frame[column]]
        elif column == "same_text":
            cells[column] = [{True: "yes", False: "no"}.get(v, "–") for v in frame[column]]
        elif column == "timing_reliable":
            cells[column] = [{True: "reliable", False: "unreliable"}.get(v, "–") for v in frame[column]]
        elif column in COUNTS:
            cells[column] = [f"{v:d}" for v in frame[column]]
        elif column not in ("lane", "system"):
            scale, digits = (100, 1) if column.endswith(("_share", "_rate")) else (1, 2)
            cells[column] = ["–" if v is None or v != v else f"{scale * v:.{digits}f}" for v in frame[column]]
    if "speedup" in cells:
        marks = [f" {NOISE}" if noisy else "" for noisy in noise_in(frame)]
        cells["speedup"] = [speedup + mark for speedup, mark in zip(cells["speedup"], marks, strict=True)]
    headers = {**HEADERS, "speedups": f"each {sample} ×"}
    return cells.rename(columns=headers).to_string(index=False)


def noise_in(frame) -> list[bool]:
    """Return for each row of a table of metrics whether its timing or the timing of one of its runs is
    unreliable."""
    noisy = [False] * len(frame)
    if "timing_reliable" in frame:
        noisy = [value is False or value == 0 for value in frame["timing_reliable"]]
    if "unreliable" in frame:
        noisy = [row or count > 0 for row, count in zip(noisy, frame["unreliable"], strict=True)]
    return noisy


def left_aligned(frame) -> str:
    """Return a table of strings as text."""
    widths = {column: max(map(len, [column, *frame[column]])) for column in frame}
    rows = [list(frame), *frame.itertuples(index=False)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths.values(), strict=True)).rstrip()
        for row in rows
    )


def describe_pair(pair) -> str:
    """Return one line: the pair, its weights, the device and the implementations in use."""
    return (
        f"{pair.name}: {pair.weights}; draft: {pair.draft_name}; on {pair.runs_on}, "
        f"target {pair.target.path}, draft {pair.drafter.path}"
    )


def describe_measured(measured: dict) -> str:
    """Return the line of `describe_pair` for a pair that `bench` has measured."""
    pair, machine = measured["pair"], measured["machine"]
    return (
        f"{pair['name']}: {pair['weights']}; draft: {pair['draft']}; "
        f"target {machine['target_path']}, draft {machine['draft_path']}"
    )


def describe_machine(machine: dict) -> str:
    """Return one line: the processor, its cores, the threads and the versions of the libraries."""
    versions = [f"{n} {machine[n]}" for n in ("torch", "transformers", "llama-cpp-python") if n in machine]
    return (
        f"{machine['gpu'] or machine['processor']}, {machine['cores']} cores, "
        f"{thread_words(machine['threads'])} ({machine['threads_limited_by']}), " + ", ".join(versions)
    )


def thread_words(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×"


def printable(text: str) -> str:
    """Return a model's text without control characters, which a terminal would execute."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
