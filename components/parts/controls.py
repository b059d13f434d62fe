"""The controls of a race: prompt, pair, lanes, sampling, Run and Stop."""

import json
from dataclasses import dataclass, replace

import gradio as gr
from gradio.i18n import I18nData

from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, Preset, resolve, short_name
from components.parts.assets import open_module
from components.parts.browser_part import browser_part
from components.parts.gradio_internals import replace as replace_in_gradio
from components.parts.lanes_editor import lanes_editor
from components.parts.messages import say
from components.parts.pair_note import offered_presets, pair_note
from components.parts.settings import RaceSettings, read_lanes, read_seed, whole
from components.parts.texts import text, texts
from components.settings.hosting import host

EXAMPLES = (  # keys of texts; the first one is the initial prompt
    "page.example.explain",
    "page.example.count",
    "page.example.code",
    "page.example.story",
    "page.example.list",
)
DEFAULTS = RaceSettings(
    prompt=texts()[EXAMPLES[0]],
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
    `read`'s parameters and of the names in assets/js/address.js."""

    inputs: list[gr.components.Component]
    run: gr.Button
    stop: gr.Button
    share: gr.Button
    open_trace: gr.UploadButton
    status: gr.HTML  # the progress, in one line
    link: gr.HTML  # the result of Share; also whether a link's race waits for a click
    note: gr.HTML  # what the pair teaches
    shown: gr.HTML  # sets the controls to the race in the player

    @staticmethod
    def read(
        prompt, pair, lanes, temperature, tokens, seed, rule, top_k, top_p, system="", continuation=False
    ) -> RaceSettings:
        """Return the settings for the values of `inputs`.

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
            system=system,
            continuation=continuation,
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
            settings.system,
            settings.continuation,
        ]


def defaults(default_pair: str) -> RaceSettings:
    """Return DEFAULTS with the host's pair and its lanes, within the host's limits."""
    tokens = min(DEFAULTS.max_new_tokens, host().max_tokens)
    lanes = list(resolve(default_pair).lanes)
    return replace(DEFAULTS, pair=default_pair, lanes=lanes, max_new_tokens=tokens)


def controls_view(default_pair: str) -> Controls:
    """Build the controls, set to `defaults`: the prompt with Run and Stop in one line, and the rest in a
    drawer that assets/js/controls.js opens (gradio's own drawer would draw its parts without their
    properties). The caller renders `share`, `open_trace`, `link` and `status` where it wants them."""
    compact = {"size": "md", "min_width": 80}
    with gr.Row(elem_id="controls"):
        prompt = gr.Textbox(
            DEFAULTS.prompt,
            label=text("page.prompt"),
            placeholder=text("page.prompt_hint"),
            show_label=False,
            container=False,
            lines=2,
            max_lines=6,
            elem_id="prompt",
        )
        run = gr.Button(text("page.run"), variant="primary", elem_id="run", **compact)
        stop = gr.Button(text("page.stop"), interactive=False, elem_id="stop", **compact)
        gr.Button(text("page.set_up"), elem_id="set-up", **compact)
        with gr.Column(elem_id="setup"):
            pair, note, others = _setup(default_pair, prompt)
    share = gr.Button(text("page.share"), elem_id="share", render=False, **compact)
    open_trace = gr.UploadButton(
        text("page.open"),
        file_types=[".json"],
        type="binary",
        elem_id="open-trace",
        render=False,
        **compact,
    )
    link = browser_part("shared", "", module="share", render=False)
    status = browser_part("status", say("page.status_ready"), render=False)
    inputs = [prompt, pair, *others]
    shown = _follow_player(inputs, note, status)
    return Controls(inputs, run, stop, share, open_trace, status, link, note, shown)


def _setup(
    default_pair: str, prompt: gr.Textbox
) -> tuple[gr.Dropdown, gr.HTML, list[gr.components.Component]]:
    """Build the controls other than the prompt: the pair, the note on it, and the other inputs in the order
    of `Controls.read`."""
    offered = {preset.name: preset for preset in offered_presets()}
    with gr.Row():
        with gr.Column(scale=5, min_width=280):
            pair = gr.Dropdown(
                [(pair_label(preset), name) for name, preset in offered.items()]
                + ([] if default_pair in offered else [default_pair]),
                value=default_pair,
                allow_custom_value=True,
                label=text("page.pair"),
                elem_id="pair",
            )
            note = pair_note(default_pair)
        with gr.Column(scale=4, min_width=280):
            temperature = unchecked(
                gr.Slider(
                    0,
                    2,
                    DEFAULTS.temperature,
                    step=0.05,
                    label=text("page.temperature"),
                    buttons=[],
                    elem_id="temperature",
                )
            )
            examples = browser_part("examples", prompts=list(EXAMPLES))
    lanes = lanes_editor(lanes=defaults(default_pair).lanes, of_pair=True)
    rule, top_k, top_p, seed, tokens = _numbers(defaults(default_pair).max_new_tokens)
    system, continuation = _reading_of_the_prompt()
    # The menu sets the prompt without the server.
    examples.input(
        None, examples, prompt, js="(chosen) => chosen", show_progress="hidden", api_visibility="private"
    )
    _follow_pair(pair, note, lanes)
    return pair, note, [lanes, temperature, tokens, seed, rule, top_k, top_p, system, continuation]


def _follow_player(inputs: list[gr.components.Component], note: gr.HTML, status: gr.HTML) -> gr.HTML:
    """Set the controls to the race in the player, without the server. Return the part that does it
    (assets/js/controls.js); its value is a JSON list of values for the inputs, the note and the status."""
    shown = browser_part("shown", "", module="controls", elem_classes="unseen")
    take = "(values) => JSON.parse(values)"
    shown.input(
        None, shown, [*inputs, note, status], js=take, show_progress="hidden", api_visibility="private"
    )
    return shown


def _follow_pair(pair: gr.Dropdown, note: gr.HTML, lanes: gr.HTML) -> None:
    """Let the note say what the chosen pair teaches. If the visitor, rather than a link, chooses the pair,
    and the lanes are another pair's default lanes, replace them by the default lanes of the chosen pair."""
    private = {"show_progress": "hidden", "api_visibility": "private"}
    pair.change(None, pair, note, js="(pair) => pair ?? ''", **private)
    following = f"async (pair, lanes) => (await {open_module('pairs.js')}).lanesAfter(pair, lanes)"
    pair.input(None, [pair, lanes], lanes, js=following, **private)


def verification_rule(value: str, **layout) -> gr.Radio:
    """Return the choice between the verification rules."""
    rules = [(text("page.rule_shared"), "shared_noise"), (text("page.rule_speculative"), "speculative")]
    return unchecked(gr.Radio(rules, value=value, label=text("page.rule"), **layout))


def _numbers(new_tokens: int) -> tuple[gr.components.Component, ...]:
    """Build the verification rule, top-k, top-p, the seed and the length."""
    with gr.Row():
        rule = verification_rule(DEFAULTS.verification, elem_id="rule", scale=3, min_width=280)
        numbers = [
            _number(text("page.top_k"), DEFAULTS.top_k, "top_k"),
            _number(text("page.top_p"), DEFAULTS.top_p, "top_p"),
            seed_field(scale=1, min_width=110, elem_id="seed"),
            _number(text("page.tokens"), new_tokens, "tokens"),
        ]
    return rule, *numbers


def _reading_of_the_prompt() -> tuple[gr.components.Component, ...]:
    """Build the controls for how the models read the prompt: a system prompt, and whether the models continue
    the prompt instead of answering it."""
    with gr.Row():
        system = gr.Textbox(
            label=text("page.system"),
            info=text("page.system_about"),
            max_lines=6,
            scale=3,
            min_width=280,
            elem_id="system",
        )
        continuation = gr.Checkbox(
            label=text("page.continuation"),
            info=text("page.continuation_about"),
            scale=2,
            min_width=220,
            elem_id="continuation",
        )
    return unchecked(system), unchecked(continuation)


def seed_field(**layout) -> gr.Textbox:
    """Build a field for a seed, for `read_seed`: a text field, because a number field rounds above 2^53."""
    label = text("page.seed")
    return unchecked(gr.Textbox(str(DEFAULTS.seed), label=label, max_lines=1, **layout))


def pair_label(preset: Preset) -> str:
    """Return a pair's entry in the menu, the same in every language: its name, its models, int8 if that is
    its dtype, and the memory it needs."""
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
    """Skip gradio's check of a field's value, because only the engine's errors are sentences."""
    replace_in_gradio(field, preprocess=lambda payload: payload)
    return field


def _number(label: I18nData, value: float, name: str) -> gr.components.Component:
    return unchecked(gr.Number(value, label=label, scale=1, min_width=110, elem_id=name))
