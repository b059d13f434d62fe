"""Launches the page: `python app.py`. The models load once it is served; on ZeroGPU, before."""

import gc
import sys

from adaedl.errors import UserError
from adaedl.system.threads import prepare_threads

try:
    prepare_threads()  # before the libraries that read it are imported
    from components.pages.page import build_page
    from components.serving.launch import launch
    from components.serving.models_state import ModelsState
    from components.settings.hosting import first_pair, on_zero_gpu, start_logging

    models = ModelsState(first_pair())
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
    gc.freeze()  # what a page is made of stays: Python need not search it for what nobody uses
    if not on_zero_gpu():
        models.load_first()
    demo.block_thread()
