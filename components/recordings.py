"""Recordings in the form that Explore and Calibration read: with real races of the same text and calibration
results.

`python -m components.recordings` makes the shipped ones (assets/examples/recordings) again. Run it on a quiet
machine, since the page replays the times in them.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from adaedl.replay.calibration import calibrate, drafts_of_recording
from adaedl.replay.recording import Recording
from adaedl.replay.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import LIVE_STOPPERS
from adaedl.trace import Trace
from components.parts.assets import ASSETS

FOLDER = ASSETS / "examples" / "recordings"
PROMPT = "Explain how the water cycle works, step by step."
TEMPERATURES = (0.0, 0.7, 1.0)
TOKENS = 256
DEPTH = 16


def envelope(recording: Recording, measured: list[dict]) -> str:
    """Return the JSON for the page: {"recording", "calibration", "measured"}."""
    told = {"calibration": describe_calibration(recording), "measured": measured}
    # The recording is already JSON, in the form that its own checks expect.
    return f'{{"recording":{recording.to_json()},{json.dumps(told)[1:]}'.replace("<", "\\u003c")


def describe_calibration(recording: Recording) -> dict | None:
    """Return the results of adaedl.replay.calibration for γ = 0.2, ready for JSON; None if nothing was
    drafted.

    `drafts` are [entropy, β] of every drafted token that the text reaches.
    """
    drafts = drafts_of_recording(recording)
    if drafts.empty:
        return None
    found = asdict(calibrate(drafts))
    bins = found.pop("bins")
    found["count"] = found.pop("drafts")
    found["bins"] = bins.astype(object).where(bins.notna(), None).to_dict("records")
    found["rank_correlations"] = {
        name: None if np.isnan(rho) else rho for name, rho in found["rank_correlations"].items()
    }
    found["drafts"] = drafts[["entropy", "beta"]].round(5).to_numpy().tolist()
    return found


def measured_lanes(trace: Trace) -> list[dict]:
    """Return what a real race measured about its drafting lanes, from a trace with metrics."""
    return [
        {
            "stopper": lane.stopper,
            "settings": lane.settings,
            "label": lane.label,
            "speedup": lane.metrics.speedup,
            "timing_reliable": lane.metrics.timing_reliable,
        }
        for lane in trace.lanes
        if lane.metrics and lane.metrics.speedup is not None and lane.stopper != "autoregressive"
    ]


def model_errors(recording: Recording, measured: list[dict]) -> list[float]:
    """Return the error of the modelled speedup of each measured lane: |modelled / measured − 1|."""
    baseline_s = replay(recording, "autoregressive").clock_s
    return [
        abs(baseline_s / replay(recording, lane["label"]).clock_s / lane["speedup"] - 1) for lane in measured
    ]


def make_shipped() -> Iterator[str]:
    """Make the shipped recordings and race each one; yield a line about each file as it is written."""
    from adaedl.pairs.loading import load_pair
    from adaedl.race import new_trace, race
    from adaedl.replay.recorder import record

    pair = load_pair()
    specs = list(LIVE_STOPPERS)  # the baseline is the first
    for temperature in TEMPERATURES:
        sampling = Sampling(temperature)
        recording = record(pair, PROMPT, sampling, max_new_tokens=TOKENS, depth=DEPTH)
        trace = new_trace(pair, PROMPT, specs, sampling, max_new_tokens=TOKENS, seed=0)
        for _ in race(pair, trace):
            pass
        file = FOLDER / f"temperature-{temperature:g}.json"
        measured = measured_lanes(trace)
        file.write_text(envelope(recording, measured) + "\n", "utf-8")
        errors = model_errors(recording, measured)
        yield (
            f"{file.name}: {len(recording.token_ids)} tokens, model error {np.mean(errors):.1%} on average, "
            f"{max(errors):.1%} at most; {recording.probed_alike} of {recording.probed} rounds replayed alike"
        )


def write_index() -> None:
    """Write the list of shipped recordings that the page reads."""
    entries = [
        {
            "file": f"temperature-{temperature:g}.json",
            "temperature": temperature,
            "prompt": PROMPT,
            "title": {"en": f"temperature {temperature:g}", "zh": f"温度 {temperature:g}"},
        }
        for temperature in TEMPERATURES
    ]
    text = json.dumps(entries, ensure_ascii=False, indent=2)
    (FOLDER / "index.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for line in make_shipped():
        print(line, flush=True)
    write_index()
