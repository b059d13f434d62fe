"""Remake the shipped recordings (assets/examples/recordings): `python -m components.recordings`.

There is a recording for every pair and temperature; above temperature 0, for both verification rules. `--pair
NAME` remakes one pair's recordings. Run it on an idle machine, because the page replays their times.
"""

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import replay
from adaedl.request import Sampling
from components.parts.folders import ASSETS
from components.parts.recordings import DEPTH, PROMPT, envelope, measured_lanes

FOLDER = ASSETS / "examples" / "recordings"
# Pairs that need no download, with the number of tokens to record; the page shows the first pair at first.
PAIRS = {DEFAULT_PAIR: 256, "smollm2-135m-int8": 128, "smollm2-135m-self": 128}
TEMPERATURES = (0.0, 0.7, 1.0)
# Verification rule → its name in file names, in English and in Chinese.
RULES = {
    "shared_noise": ("shared", "shared noise", "共享噪声"),
    "speculative": ("speculative", "speculative sampling", "推测采样"),
}


@dataclass(frozen=True)
class Entry:
    """A shipped recording and its entry in the page's list."""

    pair: str
    verification: str
    temperature: float

    @property
    def file(self) -> str:
        """The file's name. At temperature 0, where both rules are the same, it has no rule."""
        rule = f"-{RULES[self.verification][0]}" if self.temperature else ""
        return f"{self.pair}{rule}-t{self.temperature:g}.json"

    @property
    def path(self) -> Path:
        return FOLDER / self.file

    def describe(self) -> dict:
        """Return the entry in the list."""
        _, english, chinese = RULES[self.verification]
        titles = {
            "en": [self.pair, f"temperature {self.temperature:g}", english],
            "zh": [self.pair, f"温度 {self.temperature:g}", chinese],
        }
        parts = 3 if self.temperature else 2
        return {
            "file": self.file,
            "pair": self.pair,
            "verification": self.verification,
            "temperature": self.temperature,
            "prompt": PROMPT,
            "title": {"en": ", ".join(titles["en"][:parts]), "zh": "，".join(titles["zh"][:parts])},
        }


ENTRIES = [
    Entry(pair, rule, temperature)
    for pair in PAIRS
    for rule in RULES
    for temperature in TEMPERATURES
    if temperature or rule == "shared_noise"
]


def model_errors(recording: Recording, measured: list[dict]) -> list[float]:
    """Return the relative error of the modelled speedup of each measured lane: |modelled / measured − 1|."""
    baseline_s = replay(recording, "autoregressive").clock_s
    return [
        abs(baseline_s / replay(recording, lane["label"]).clock_s / lane["speedup"] - 1) for lane in measured
    ]


def make_shipped(name: str) -> Iterator[str]:
    """Remake a pair's recordings, each with real races of its prompt; yield a line about each written file.

    Raises:
        UserError: the pair cannot be loaded here.
    """
    from adaedl.measure.check import races_of_every_stopper
    from adaedl.pairs.loading import load_pair
    from adaedl.racing import new_trace, race
    from adaedl.recordings.recorder import record

    pair = load_pair(name)
    for entry in (entry for entry in ENTRIES if entry.pair == name):
        sampling, rule = Sampling(entry.temperature), entry.verification
        tokens = PAIRS[name]
        recording = record(pair, PROMPT, sampling, verification=rule, max_new_tokens=tokens, depth=DEPTH)
        measured = []
        for lanes in races_of_every_stopper():
            trace = new_trace(pair, PROMPT, lanes, sampling, max_new_tokens=tokens, seed=0, verification=rule)
            for _ in race(pair, trace):
                pass
            measured += measured_lanes(trace)
        entry.path.write_text(envelope(recording, measured) + "\n", "utf-8")
        yield f"{entry.file}, {entry.path.stat().st_size / 1000:.0f} kB: {_words(recording, measured)}"


def _words(recording: Recording, measured: list[dict]) -> str:
    errors = model_errors(recording, measured)
    probed = f"; {recording.probed_alike} of {recording.probed} rounds replayed the same"
    return (
        f"{len(recording.token_ids)} tokens, modelled speedup off by {np.mean(errors):.1%} on average, "
        f"{max(errors):.1%} at most{probed if recording.replays_runs else ''}"
    )


def write_index() -> None:
    """Write the list of the existing recordings."""
    entries = [entry.describe() for entry in ENTRIES if entry.path.is_file()]
    text = json.dumps(entries, ensure_ascii=False, indent=2)
    (FOLDER / "index.json").write_text(text + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.recordings", description=__doc__)
    parser.add_argument("--pair", action="append", choices=PAIRS, help="remake only this pair's; may repeat")
    names = parser.parse_args().pair or list(PAIRS)
    FOLDER.mkdir(exist_ok=True)
    failed = False
    for name in names:
        try:
            for line in make_shipped(name):
                print(line, flush=True)
        except UserError as error:  # the existing files stay
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
        gc.collect()  # one pair in memory at a time
        write_index()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
