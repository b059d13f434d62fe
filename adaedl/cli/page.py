"""`page`: serve the page, like `python app.py` in a checkout."""

import argparse
import runpy
import sys
from importlib.util import find_spec

from adaedl.cli.common import print_error
from adaedl.errors import UserError
from adaedl.system.shipped import shipped

SUMMARY = "Serve the page."
NEEDS = ("gradio", "plotly")


def start() -> int:
    """Serve the page in a process of its own and return the exit status."""
    try:
        return run()
    except UserError as error:
        print_error(error)
        return 2


def run(args: argparse.Namespace | None = None) -> int:
    """Serve the page until it is interrupted.

    Raises:
        UserError: a package that only the page needs is not installed.
    """
    for package in NEEDS:
        if find_spec(package) is None:
            raise UserError('The page needs {}; install it with: pip install "adaedl[page]"', package)
    app = shipped("app.py")
    sys.path.insert(0, str(app.parent))  # like `python app.py`
    runpy.run_path(str(app), run_name="__main__")
    return 0
