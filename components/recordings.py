"""`python -m components.recordings` remakes the shipped recordings (assets/examples/recordings). Run it on a
quiet machine: the times in them are what the page replays."""

import json
from collections.abc import Iterator

import numpy as np

from adaedl.replay.recording import Recording
from adaedl.replay.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import LIVE_STOPPERS
from components.parts.folders import ASSETS
from components.parts.recordings import DEPTH, PROMPT, envelope, measured_lanes

FOLDER = ASSETS / "examples" / "recordings"
TEMPERATURES = (0.0, 0.7, 1.0)
TOKENS = 256


def model_errors(recording: Recording, measured: list[dict]) -> list[float]:
    """Return the relative error of the modelled speedup of each measured lane: |modelled / measured − 1|."""
    baseline_s = replay(recording, "autoregressive").clock_s
    return [
        abs(baseline_s / replay(recording, lane["label"]).clock_s / lane["speedup"] - 1) for lane in measured
    ]


def make_shipped() -> Iterator[str]:
    """Remake the recordings, each with a real race of its text; yields a line about each file written."""
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
    """Write the list of recordings that the page reads."""
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
