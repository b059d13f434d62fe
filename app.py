"""The page, launched: `python app.py`. The models load once it is up."""

import os
from pathlib import Path

from adaedl.models.presets import DEFAULT_PAIR
from components import assets
from components.models_state import ModelsState
from components.palette import css_variables, theme
from components.race_page import build_page
from components.texts import translations

models = ModelsState(os.environ.get("ADAEDL_PAIR") or DEFAULT_PAIR)
demo = build_page(models)

if __name__ == "__main__":
    demo.queue(max_size=100).launch(
        theme=theme(),
        css=css_variables(),
        css_paths=sorted((Path(__file__).parent / "assets").glob("*.css")),
        app_kwargs={"routes": assets.routes()},
        footer_links=["gradio", "settings"],
        i18n=translations(),
        max_file_size="64mb",  # a larger trace than is opened may come, to be told so
        show_error=False,
        run_history=False,
        ssr_mode=False,
        prevent_thread_lock=True,
    )
    models.load(models.default)
    demo.block_thread()
