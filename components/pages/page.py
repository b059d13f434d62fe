"""The whole page, with a tab for each of its parts. The open tab is in the address (#learn), so that a link
can open it; assets/js/tabs.js keeps the two in step."""

from contextlib import contextmanager

import gradio as gr

from components.pages.calibration import calibration_view
from components.pages.explore import explore_view
from components.pages.learn import learn_view
from components.pages.race import race_view
from components.pages.sweep import sweep_view
from components.parts.assets import module_address
from components.parts.job_ids import kept_job
from components.parts.texts import text
from components.serving.answers import Page
from components.serving.health import about_view
from components.serving.models_state import ModelsState


def build_page(models: ModelsState) -> gr.Blocks:
    """Build the page, ready to launch. This loads nothing."""
    with Page(title="AdaEDL live", analytics_enabled=False, delete_cache=(300, 900)) as page:
        # Outside the tabs, which the browser draws only when they are opened.
        jobs = {name: kept_job(name) for name in ("race", "explore", "sweep")}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with _tab("race"):
                race_view(page, models, jobs["race"])
            with _tab("explore"):
                explore_view(models, jobs["explore"])
            with _tab("sweep"):
                sweep_view(models, jobs["sweep"])
            with _tab("calibration"):
                calibration_view()
            with _tab("learn"):
                learn_view()
        about_view()
        follow = f"() => {{ import({module_address('tabs.js')}).then((tabs) => tabs.follow()); }}"
        page.load(None, js=follow, api_visibility="private")
    return page


@contextmanager
def _tab(name: str):
    """A tab that #name in the address opens; its title is the text page.tab.name."""
    with gr.Tab(text(f"page.tab.{name}"), id=name, elem_id=f"tab-{name}"):
        yield
