"""The data of Explore and Calibration: a recording, real races of the same text, and how well AdaEDL's bound
is calibrated on it."""

import json
from dataclasses import asdict

import numpy as np

from adaedl.replay.calibration import calibrate, drafts_of_recording
from adaedl.replay.recording import Recording
from adaedl.trace import Trace

PROMPT = "Explain how the water cycle works, step by step."
DEPTH = 16  # drafts from each position


def envelope(recording: Recording, measured: list[dict]) -> str:
    """Return the JSON that the page is given: {"recording", "calibration", "measured"}."""
    more = {"calibration": describe_calibration(recording), "measured": measured}
    # The recording is JSON already, as its own checks want it.
    return f'{{"recording":{recording.to_json()},{json.dumps(more)[1:]}'.replace("<", "\\u003c")


def describe_calibration(recording: Recording) -> dict | None:
    """Return adaedl.replay.calibration's findings for γ = 0.2 for JSON; None where nothing was drafted.

    `drafts` are [entropy, β] of every drafted token that the text reaches."""
    drafts = drafts_of_recording(recording)
    if drafts.empty:
        return None
    found = asdict(calibrate(drafts))
    found["count"] = found.pop("drafts")
    found["rank_correlations"] = {
        name: None if np.isnan(rho) else rho for name, rho in found["rank_correlations"].items()
    }
    found["drafts"] = drafts[["entropy", "beta"]].round(5).to_numpy().tolist()
    return found


def measured_lanes(trace: Trace) -> list[dict]:
    """Return the speedups of the drafting lanes of a real race whose metrics are computed."""
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
