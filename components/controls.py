"""What a visitor sets before a race: prompt, pair, lanes, sampling, Run and Stop."""

from dataclasses import dataclass

import gradio as gr

from adaedl.errors import UserError
from adaedl.models.presets import PRESETS
from adaedl.race import DEFAULT_LANES
from adaedl.stopping import LIVE_STOPPERS, AdaEDL, format_spec, make_stopper, setting_names
from components.messages import error_html
from components.settings import MAX_LANES, RaceSettings, whole

EXAMPLES = [
    "Explain how the water cycle works, step by step.",
    "Write a Python function that checks whether a number is prime, with a docstring.",
    "Write a short story about a fox who learns to swim.",
    "List ten things to pack for a week of hiking, each with one reason.",
]

ADAEDL_LABELS = {
    "threshold": "initial threshold λ₀",
    "gamma": "γ",
    "adapt": "adapt λ",
    "max_draft": "max draft",
    "epsilon": "ε, step of λ",
    "beta1": "β₁, memory of the acceptance rate",
    "beta2": "β₂, memory of λ",
    "target_rate": "α*, acceptance rate aimed at",
}


@dataclass
class Controls:
    """The components, and their values as RaceSettings."""

    inputs: list[gr.components.Component]
    run: gr.Button
    stop: gr.Button

    @staticmethod
    def read(prompt, pair, lanes, temperature, tokens, seed, rule, top_k, top_p) -> RaceSettings:
        """The settings from the values of `inputs`, in their order."""
        return RaceSettings(
            prompt=prompt,
            pair=pair or "",
            lanes=lanes or [],
            temperature=temperature,
            top_k=whole(top_k),
            top_p=top_p,
            max_new_tokens=whole(tokens),
            seed=whole(seed),
            verification=rule,
        )


def controls_view(default_pair: str, status: gr.HTML) -> Controls:
    """The controls. `status` is where a bad lane is said."""
    narrow = {"min_width": 96}
    with gr.Row(elem_classes="controls"):
        with gr.Column(scale=3, min_width=300):
            prompt = gr.Textbox(EXAMPLES[0], label="prompt", lines=3, max_lines=8, elem_id="prompt")
            gr.Examples(EXAMPLES, prompt, label="examples")
            lanes = gr.Dropdown(
                _lane_choices(),
                value=list(DEFAULT_LANES),
                multiselect=True,
                allow_custom_value=True,
                label="lanes",
                info=f"Up to {MAX_LANES}. Type another, such as adaedl:threshold=0.5, and press Enter.",
                elem_id="lanes",
            )
        with gr.Column(scale=2, min_width=300):
            pair = gr.Dropdown(
                [(f"{name}: {preset.description}", name) for name, preset in PRESETS.items()]
                + ([] if default_pair in PRESETS else [default_pair]),
                value=default_pair,
                allow_custom_value=True,
                label="pair: target and draft model",
                info="Or type two Hugging Face models that share a tokenizer, as org/target:org/draft.",
                elem_id="pair",
            )
            with gr.Row():
                temperature = gr.Number(0.7, label="temperature", step=0.1, **narrow, elem_id="temperature")
                tokens = gr.Number(96, label="max tokens", precision=0, **narrow, elem_id="tokens")
                seed = gr.Number(0, label="seed", precision=0, **narrow, elem_id="seed")
            with gr.Row():
                run = gr.Button("Run", variant="primary", min_width=120, elem_id="run")
                stop = gr.Button("Stop", interactive=False, min_width=120, elem_id="stop")
    with gr.Accordion("Advanced: verification, sampling, more lanes", open=False, elem_id="advanced"):
        with gr.Row():
            rule = gr.Radio(
                [
                    ("shared noise: all lanes write the same text", "shared_noise"),
                    ("speculative sampling: each lane writes its own", "speculative"),
                ],
                value="shared_noise",
                label="verification rule (both exact)",
                elem_id="rule",
                scale=2,
                min_width=280,
            )
            top_k = gr.Number(0, label="top-k (0: off)", precision=0, min_width=120)
            top_p = gr.Number(1.0, label="top-p (1: off)", min_width=120)
        _add_any_lane(lanes)
        _add_adaedl_lane(lanes, status)
    for field in (temperature, tokens, seed, top_k, top_p):
        _unchecked(field)
    return Controls([prompt, pair, lanes, temperature, tokens, seed, rule, top_k, top_p], run, stop)


def _unchecked(field: gr.components.Component) -> gr.components.Component:
    """Let a field's value reach the engine as it came: its errors are sentences, gradio's are not."""
    field.preprocess = lambda payload: payload
    return field


def _lane_choices() -> list[str]:
    others = [name for name in LIVE_STOPPERS if name not in DEFAULT_LANES and name != "fixed"]
    return [*DEFAULT_LANES, "fixed:k=2", "fixed:k=8", *others]


def _add_any_lane(lanes: gr.Dropdown) -> None:
    add = gr.Dropdown(
        [(f"{name}: {stopper.summary}", name) for name, stopper in LIVE_STOPPERS.items()],
        value=None,
        label="add a lane",
        info="Every stopper with its published defaults.",
    )

    def chosen(name: str | None, now: list[str] | None):
        return (_with(now, name) if name else now), None

    add.input(
        chosen, [add, lanes], [lanes, add], queue=False, show_progress="hidden", api_visibility="private"
    )


def _add_adaedl_lane(lanes: gr.Dropdown, status: gr.HTML) -> None:
    defaults = setting_names(AdaEDL)
    fields = {}
    with gr.Row():
        for name, label in ADAEDL_LABELS.items():
            fields[name] = (
                gr.Checkbox(defaults[name], label=label, min_width=140)
                if isinstance(defaults[name], bool)
                else _unchecked(gr.Number(defaults[name], label=label, min_width=140))
            )
    add = gr.Button("Add an AdaEDL lane with these settings", size="sm", elem_id="add-adaedl")

    def built(now: list[str] | None, *values):
        try:
            return _with(now, adaedl_spec(dict(zip(fields, values, strict=True)))), ""
        except UserError as error:
            return gr.skip(), error_html(str(error))

    inputs = [lanes, *fields.values()]
    add.click(built, inputs, [lanes, status], queue=False, show_progress="hidden", api_visibility="private")


def adaedl_spec(settings: dict) -> str:
    """The shortest spec of an AdaEDL lane with these settings.

    Raises:
        UserError: a setting is out of range, or missing.
    """
    text = ",".join(f"{name}={value}" for name, value in settings.items())
    return format_spec(make_stopper(f"adaedl:{text}"))


def _with(lanes: list[str] | None, spec: str) -> list[str]:
    lanes = lanes or []
    return lanes if spec in lanes else [*lanes, spec]
