"""The data of Explore and Calibration: a recording, real races of the same text, and the calibration of
AdaEDL's bound on the recording."""

import json
from dataclasses import asdict

import numpy as np

from adaedl.recordings.calibration import calibrate, drafts_of_recording
from adaedl.recordings.recording import Recording
from adaedl.trace import Trace

PROMPT = "Explain how the water cycle works, step by step."
DEPTH = 16  # drafts from each position


def envelope(recording: Recording, measured: list[dict]) -> str:
    """Return the JSON for the page: {"recording", "calibration", "measured"}."""
    other = {"calibration": describe_calibration(recording), "measured": measured}
    # The recording writes its own JSON, in the form that reading it checks.
    return f'{{"recording":{recording.to_json()},{json.dumps(other)[1:]}'.replace("<", "\\u003c")


def describe_calibration(recording: Recording) -> dict | None:
    """Return the calibration of a recording for γ = 0.2, ready for JSON (`adaedl.recordings.calibration`);
    None if nothing was drafted.

    `drafts` has [entropy, β] of every drafted token that the text reaches.
    """
    drafts = drafts_of_recording(recording)
    if drafts.empty:
        return None
    calibration = asdict(calibrate(drafts))
    calibration["count"] = calibration.pop("drafts")
    calibration["rank_correlations"] = {
        name: None if np.isnan(rho) else rho for name, rho in calibration["rank_correlations"].items()
    }
    calibration["drafts"] = drafts[["entropy", "beta"]].round(5).to_numpy().tolist()
    return calibration


def measured_lanes(trace: Trace) -> list[dict]:
    """Return the speedups of the drafting lanes of a real race, with its metrics already computed."""
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
