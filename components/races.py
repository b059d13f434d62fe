"""`python -m components.races` records the page's races again (assets/examples): the commands in races.json.

`python -m components.races int8.json self.json` records those two alone. Run it on a quiet machine: the page
replays the times in these files.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from components.parts.folders import ASSETS

FOLDER = ASSETS / "examples"
RACES = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def record(race: dict) -> bool:
    """Run a race's command in the project's folder; return whether it succeeded."""
    _, *arguments = shlex.split(race["command"])
    command = [sys.executable, *arguments]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.run(command, cwd=ASSETS.parent, **quiet).returncode == 0


def recorded() -> list[dict]:
    """Return the races that have a file, which the page lists."""
    return [race for race in RACES if (FOLDER / race["file"]).is_file()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.races", description=__doc__)
    files = [race["file"] for race in RACES]
    parser.add_argument("files", nargs="*", metavar="FILE", help="races to record (default: all)")
    asked = parser.parse_args().files or files
    if unknown := set(asked) - set(files):
        parser.error(f"there is no race {', '.join(sorted(unknown))}; choose from {', '.join(files)}")
    failed = False
    for race in (race for race in RACES if race["file"] in asked):
        print(race["command"], file=sys.stderr)
        failed |= not record(race)  # a pair that this machine cannot run; its file stays as it is
    text = json.dumps(recorded(), ensure_ascii=False, indent=2)
    (FOLDER / "index.json").write_text(text + "\n", "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
