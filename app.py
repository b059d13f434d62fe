"""The page, launched: `python app.py`. The models load once it is up."""

import os
import sys

from adaedl.errors import UserError
from adaedl.models.presets import DEFAULT_PAIR
from components.launch import launch
from components.models_state import ModelsState
from components.page import build_page

models = ModelsState(os.environ.get("ADAEDL_PAIR") or DEFAULT_PAIR)
demo = build_page(models)

if __name__ == "__main__":
    try:
        launch(demo)
    except UserError as error:
        sys.exit(f"error: {error}")
    models.load(models.default)
    demo.block_thread()
