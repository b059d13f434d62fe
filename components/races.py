"""Record the page's races (assets/examples) again, by races.json's commands: `python -m components.races`.

`python -m components.races code.json poem.json` records only those two. Run it on an idle machine, because
the page replays the times in these files. A race that makes its caption false (components/race_claims.py) is
recorded again, up to TRIES times; if the caption is still false, the old file stays. `--check` records
nothing and prints the claims that the present files contradict.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from adaedl.trace import Trace
from components.parts.folders import ASSETS
from components.race_claims import Lanes, failures, fill_in, lanes_at, lanes_of

TRIES = 3
FOLDER = ASSETS / "examples"
_CONTENT = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
RACES: list[dict] = _CONTENT["races"]
TEMPERATURES: dict = _CONTENT["temperatures"]  # one prompt at several temperatures, shown side by side
FILES = [race["file"] for race in (*RACES, *TEMPERATURES["races"])]


def read(file: str) -> Trace:
    """Return a recorded race."""
    return Trace.from_json((FOLDER / file).read_bytes())


def recorded() -> list[dict]:
    """Return the races that have a file, for the page's list, with the numbers in their captions."""
    existing = [race for race in RACES if (FOLDER / race["file"]).is_file()]
    return [_entry(race, lanes_of(read(race["file"]))) for race in existing]


def temperatures() -> list[dict]:
    """Return the races at several temperatures that the page shows side by side, like `recorded`; an empty
    list unless all of them have a file."""
    if not all((FOLDER / race["file"]).is_file() for race in TEMPERATURES["races"]):
        return []
    lanes = temperature_lanes()
    return [_entry(race, lanes) for race in TEMPERATURES["races"]]


def temperature_lanes() -> Lanes:
    """Return the lanes of the races at several temperatures, by spec and temperature."""
    return lanes_at(read(race["file"]) for race in TEMPERATURES["races"])


def _entry(race: dict, lanes: Lanes) -> dict:
    line = {language: fill_in(words, lanes) for language, words in race["line"].items()}
    return {name: value for name, value in race.items() if name != "claims"} | {"line": line}


def contradictions() -> list[str]:
    """Return the captions' claims that the files contradict, and the missing files."""
    problems = [f"{file} is missing" for file in FILES if not (FOLDER / file).is_file()]
    if not problems:
        problems = [f"temperatures: {each}" for each in failures(TEMPERATURES["claims"], temperature_lanes())]
    for race in RACES:
        if (FOLDER / race["file"]).is_file():
            false_claims = failures(race["claims"], lanes_of(read(race["file"])))
            problems += [f"{race['file']}: {each}" for each in false_claims]
    return problems


def record(race: dict) -> bool:
    """Run a race's command until its claims are true, and keep that trace; return whether a trace was
    kept."""
    for _ in range(TRIES):
        with tempfile.TemporaryDirectory() as folder:
            new = Path(folder) / "race.json"
            if not _run(race["command"], new):
                return False  # a pair that this machine cannot run
            false_claims = failures(race.get("claims", []), lanes_of(Trace.from_json(new.read_bytes())))
            if not false_claims:
                kept = FOLDER / race["file"]
                kept.parent.mkdir(exist_ok=True)
                kept.write_bytes(new.read_bytes())
                return True
        print(*false_claims, sep="\n", file=sys.stderr)
    return False


def _run(command: str, file: Path) -> bool:
    """Run a race's command in the project's folder, with this file for its trace; return whether it
    succeeded."""
    *arguments, _ = shlex.split(command)[1:]  # the last argument is the file for --json
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.run([sys.executable, *arguments, file], cwd=ASSETS.parent, **quiet).returncode == 0


def write_lists() -> None:
    """Write the page's lists of races and of races at several temperatures."""
    for path, content in (("index.json", recorded()), ("temperatures/index.json", temperatures())):
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.races", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="races to record (default: all)")
    parser.add_argument("--check", action="store_true", help="record nothing; check the captions")
    arguments = parser.parse_args()
    files = arguments.files or FILES
    if unknown := set(files) - set(FILES):
        parser.error(f"there is no race {', '.join(sorted(unknown))}; choose from {', '.join(FILES)}")
    problems = []
    if not arguments.check:
        for race in (race for race in (*RACES, *TEMPERATURES["races"]) if race["file"] in files):
            print(race["command"], file=sys.stderr)
            if not record(race):
                problems.append(f"{race['file']} was not recorded; the old file stays")
    problems += contradictions()
    if not arguments.check:
        write_lists()
    print(*problems, sep="\n", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
