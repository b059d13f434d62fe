"""What a visitor sets before a race: prompt, pair, lanes, sampling, Run and Stop."""

import json
from dataclasses import dataclass, replace

import gradio as gr
from gradio.i18n import I18nData

from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, Preset, resolve, short_name
from components.parts.assets import module_address
from components.parts.browser_part import browser_part
from components.parts.gradio_internals import replace as replace_in_gradio
from components.parts.lanes_editor import lanes_editor
from components.parts.messages import say
from components.parts.pair_note import offered_presets, pair_note
from components.parts.settings import RaceSettings, read_lanes, read_seed, whole
from components.parts.texts import text
from components.settings.hosting import host

EXAMPLES = (
    "Explain how the water cycle works, step by step.",
    "Count from 1 to 40 in words, separated by commas.",
    "Write a Python function that checks whether a number is prime, with a docstring.",
    "Write a short story about a fox who learns to swim.",
    "List ten things to pack for a week of hiking, each with one reason.",
)
DEFAULTS = RaceSettings(
    prompt=EXAMPLES[0],
    pair=DEFAULT_PAIR,
    lanes=list(PRESETS[DEFAULT_PAIR].lanes),
    temperature=0.7,
    top_k=0,
    top_p=1.0,
    max_new_tokens=96,
    seed=0,
    verification="shared_noise",
)


@dataclass
class Controls:
    """The components, and the conversion of their values to RaceSettings. `inputs` are in the order of
    `read`'s parameters, which is also the order of the names in assets/js/address.js."""

    inputs: list[gr.components.Component]
    run: gr.Button
    stop: gr.Button
    share: gr.Button
    open_trace: gr.UploadButton
    status: gr.HTML  # the progress, in one line
    link: gr.HTML  # the outcome of Share; also whether a link's race waits for a click

    @staticmethod
    def read(prompt, pair, lanes, temperature, tokens, seed, rule, top_k, top_p) -> RaceSettings:
        """Return the settings given by the values of `inputs`.

        Raises:
            UserError: the lanes are not a list of specs.
        """
        return RaceSettings(
            prompt=prompt,
            pair=pair or "",
            lanes=read_lanes(lanes),
            temperature=temperature,
            top_k=whole(top_k),
            top_p=top_p,
            max_new_tokens=whole(tokens),
            seed=read_seed(seed),
            verification=rule,
        )

    @staticmethod
    def values(settings: RaceSettings) -> list:
        """Return the values of `inputs` for these settings: the inverse of `read`."""
        return [
            settings.prompt,
            settings.pair,
            json.dumps(settings.lanes),
            settings.temperature,
            settings.max_new_tokens,
            str(settings.seed),
            settings.verification,
            settings.top_k,
            settings.top_p,
        ]


def defaults(default_pair: str) -> RaceSettings:
    """Return DEFAULTS with the host's pair and its lanes, within the host's limits."""
    tokens = min(DEFAULTS.max_new_tokens, host().max_tokens)
    lanes = list(resolve(default_pair).lanes)
    return replace(DEFAULTS, pair=default_pair, lanes=lanes, max_new_tokens=tokens)


def controls_view(default_pair: str) -> Controls:
    """Build the controls, set to `defaults`."""
    offered = {preset.name: preset for preset in offered_presets()}
    with gr.Row(elem_id="controls"):
        with gr.Column(scale=5, min_width=300, elem_id="prompt-box"):
            prompt = gr.Textbox(
                DEFAULTS.prompt, label=text("page.prompt"), lines=2, max_lines=6, elem_id="prompt"
            )
            examples = browser_part("examples", prompts=list(EXAMPLES))
        with gr.Column(scale=4, min_width=300):
            with gr.Row():
                pair = gr.Dropdown(
                    [(pair_label(preset), name) for name, preset in offered.items()]
                    + ([] if default_pair in offered else [default_pair]),
                    value=default_pair,
                    allow_custom_value=True,
                    label=text("page.pair"),
                    scale=3,
                    min_width=180,
                    elem_id="pair",
                )
                temperature = unchecked(
                    gr.Slider(
                        0,
                        2,
                        DEFAULTS.temperature,
                        step=0.05,
                        label=text("page.temperature"),
                        buttons=[],
                        scale=2,
                        min_width=150,
                        elem_id="temperature",
                    )
                )
            note = pair_note(default_pair)
    with gr.Row(elem_id="choices"):
        with gr.Column(scale=5, min_width=300):
            lanes = lanes_editor(lanes=defaults(default_pair).lanes, of_pair=True)
            status = browser_part("status", say("page.status_ready"))
        with gr.Column(scale=4, min_width=300):
            with gr.Row(elem_id="buttons"):
                small = {"size": "md", "min_width": 80}
                run = gr.Button(text("page.run"), variant="primary", elem_id="run", **small)
                stop = gr.Button(text("page.stop"), interactive=False, elem_id="stop", **small)
                share = gr.Button(text("page.share"), elem_id="share", **small)
                open_trace = gr.UploadButton(
                    text("page.open"),
                    file_types=[".json"],
                    type="binary",
                    elem_id="open-trace",
                    **small,
                )
            link = browser_part("shared", "", module="share")
            rule, top_k, top_p, seed, tokens = _advanced(defaults(default_pair).max_new_tokens)
    # The menu passes its prompt within the browser.
    examples.input(
        None, examples, prompt, js="(chosen) => chosen", show_progress="hidden", api_visibility="private"
    )
    _follow_pair(pair, note, lanes)
    inputs = [prompt, pair, lanes, temperature, tokens, seed, rule, top_k, top_p]
    return Controls(inputs, run, stop, share, open_trace, status, link)


def _follow_pair(pair: gr.Dropdown, note: gr.HTML, lanes: gr.HTML) -> None:
    """Let the note say what the chosen pair teaches. If the visitor chooses it, and not a link, lanes that
    are a pair's default ones become its own."""
    private = {"show_progress": "hidden", "api_visibility": "private"}
    pairs = module_address("pairs.js")
    pair.change(None, pair, note, js="(pair) => pair ?? ''", **private)
    following = f"async (pair, lanes) => (await import({pairs})).lanesAfter(pair, lanes)"
    pair.input(None, [pair, lanes], lanes, js=following, **private)


def verification_rule(value: str, **layout) -> gr.Radio:
    """Return the choice between the verification rules."""
    rules = [(text("page.rule_shared"), "shared_noise"), (text("page.rule_speculative"), "speculative")]
    return unchecked(gr.Radio(rules, value=value, label=text("page.rule"), **layout))


def _advanced(new_tokens: int) -> tuple[gr.components.Component, ...]:
    """Build the controls that are seldom changed: the verification rule, top-k, top-p, the seed and the
    length."""
    with gr.Accordion(text("page.advanced"), open=False, elem_id="advanced"), gr.Row():
        rule = verification_rule(DEFAULTS.verification, elem_id="rule", scale=3, min_width=280)
        numbers = [
            _number(text("page.top_k"), DEFAULTS.top_k, "top_k"),
            _number(text("page.top_p"), DEFAULTS.top_p, "top_p"),
            seed_field(scale=1, min_width=110, elem_id="seed"),
            _number(text("page.tokens"), new_tokens, "tokens"),
        ]
    return rule, *numbers


def seed_field(**layout) -> gr.Textbox:
    """Build a field for a seed, for `read_seed`: a text field, because a number field rounds above 2^53."""
    label = text("page.seed")
    return unchecked(gr.Textbox(str(DEFAULTS.seed), label=label, max_lines=1, **layout))


def pair_label(preset: Preset) -> str:
    """Return a pair's entry in the menu, in every language: its name, its models, its dtype where the pair is
    defined in one, and the memory it needs."""
    target, draft = (
        short_name(name) for name in (preset.target, preset.draft or preset.drafter or preset.target)
    )
    if preset.draft_bits:
        draft += f" (int{preset.draft_bits})"
    parts = [preset.name, f"{target} + {draft}"]
    if preset.dtype == "int8":
        parts.append("int8")
    if preset.min_memory_gib:
        parts.append(f"{preset.min_memory_gib:g} GiB")
    return " · ".join(parts)


def unchecked(field: gr.components.Component) -> gr.components.Component:
    """Let a field's value reach the engine as it came: our errors are sentences, gradio's are not."""
    replace_in_gradio(field, preprocess=lambda payload: payload)
    return field


def _number(label: I18nData, value: float, name: str) -> gr.components.Component:
    return unchecked(gr.Number(value, label=label, scale=1, min_width=110, elem_id=name))
