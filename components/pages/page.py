"""The whole page, with its tabs. The address names the open tab (#learn), so that a link can open it;
assets/js/tabs.js keeps tab and address in step."""

from contextlib import contextmanager

import gradio as gr

from components.pages.calibration import calibration_view
from components.pages.explore import explore_view
from components.pages.learn import learn_view
from components.pages.race import race_view
from components.pages.repeat import repeat_view
from components.pages.sweep import sweep_view
from components.pages.temperatures import temperatures_view
from components.parts.assets import open_module
from components.parts.browser_part import browser_part
from components.parts.job_ids import kept_job
from components.parts.texts import text
from components.serving.answers import Page
from components.serving.health import about_view
from components.serving.models_state import ModelsState

# The title, and a place for the switches that assets/js/header.js adds.
HEADER = '<header><h1>AdaEDL live</h1><div class="switches"></div></header>'


def build_page(models: ModelsState) -> gr.Blocks:
    """Build the page, ready to launch. This loads nothing."""
    with Page(title="AdaEDL live", analytics_enabled=False, delete_cache=(300, 900)) as page:
        # Outside the tabs, because the browser draws a tab only when it is opened.
        jobs = {name: kept_job(name) for name in ("race", "explore", "sweep")}
        browser_part("header", frame=HEADER)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with _tab("race"):
                race = race_view(page, models, jobs["race"])
                temperatures_view(race)
                repeat_view(race)
            with _tab("explore"):
                explore_view(page, models, jobs["explore"])
            with _tab("sweep"):
                sweep_view(models, jobs["sweep"])
            with _tab("calibration"):
                calibration_view()
            with _tab("learn"):
                learn_view()
        about_view()
        for module, start in (("tabs.js", "follow"), ("skip_link.js", "addSkipLink")):
            script = f"() => {{ {open_module(module)}.then((module) => module.{start}()); }}"
            page.load(None, js=script, api_visibility="private")
    return page


@contextmanager
def _tab(name: str):
    """Open the context of a tab: #name in the address opens it, and the text page.tab.name is its title."""
    with gr.Tab(text(f"page.tab.{name}"), id=name, elem_id=f"tab-{name}"):
        yield
