"""Launch the page: `python app.py`. The models load once the page is served; on ZeroGPU, before."""

import gc
import os
import sys

from adaedl.errors import UserError
from adaedl.system.threads import prepare_threads

try:
    prepare_threads()  # before importing the libraries that it configures
    from components.pages.page import build_page
    from components.parts.recorded import second_pair
    from components.serving.launch import launch
    from components.serving.models_state import ModelsState
    from components.settings.hosting import first_pair, load_stoppers, on_zero_gpu, start_logging

    for problem in load_stoppers(os.environ):
        print(f"warning: {problem}", file=sys.stderr)
    models = ModelsState(first_pair(), spare=second_pair())
    demo = build_page(models)
except UserError as error:
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    start_logging()
    if on_zero_gpu():
        models.load_first()
    try:
        launch(demo, models)
    except UserError as error:
        sys.exit(f"error: {error}")
    gc.freeze()  # the page's objects stay, so the garbage collector need not search them
    if not on_zero_gpu():
        models.load_first()
    demo.block_thread()
