"""The page's colours, by Okabe and Ito, which people with any kind of colour vision can tell apart; and its
sizes.

Figures use the colours in Python and the strips use them in CSS, so the CSS variables are generated from
these constants. Every part of the page takes its type, spacing, corners and the height of its controls from
SIZES.
"""

import re
from functools import cache

import gradio as gr

from components.parts.folders import ASSETS

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PAGE, PAGE_DARK = "#ffffff", "#0b0f19"  # behind everything
GREY = "#808080"  # 3.9 : 1 on white and 4.9 : 1 on the dark page

RULE = re.compile(r"--rule-(\w+): (#[0-9a-f]{6})")

# Type: small print, text, lane titles and headings, the page's title. Spaces are multiples of 4 pixels.
SIZES = {
    "type-small": "0.8125rem",
    "type": "0.9375rem",
    "type-large": "1.125rem",
    "type-title": "1.375rem",
    "strong": "600",
    "space-1": "0.25rem",
    "space-2": "0.5rem",
    "space-3": "0.75rem",
    "space-4": "1rem",
    "space-6": "1.5rem",
    "corner": "0.5rem",
    "control": "2.25rem",
}


def css_variables() -> str:
    """Return the colours and sizes as CSS variables, for the page's style sheets."""
    colours = {
        "blue": BLUE,
        "vermilion": VERMILION,
        "green": GREEN,
        "purple": PURPLE,
        "orange": ORANGE,
        "sky": SKY,
        "grey": GREY,
    }
    return ":root {" + " ".join(f"--{name}: {value};" for name, value in (colours | SIZES).items()) + "}"


@cache
def rule_colours() -> dict[str, str]:
    """Return each stopping rule's colour on the light page, from assets/js/palette.css."""
    light, _, _ = (ASSETS / "js" / "palette.css").read_text("utf-8").partition(".dark")
    return dict(RULE.findall(light))


def theme() -> gr.themes.Default:
    """Return gradio's theme with the system's fonts (so that the page fetches none from other servers), the
    page's sizes and no frames around blocks. Buttons and small print have a contrast of at least 4.5 : 1."""
    default = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return default.set(
        button_primary_background_fill=BLUE,
        button_primary_background_fill_hover="#005a8c",
        button_primary_background_fill_dark=BLUE,
        button_primary_background_fill_hover_dark="#005a8c",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_large_radius="var(--corner)",
        button_medium_radius="var(--corner)",
        button_small_radius="var(--corner)",
        block_radius="var(--corner)",
        container_radius="var(--corner)",
        input_radius="var(--corner)",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="var(--space-1) var(--space-2)",
        block_title_text_size="var(--type-small)",
        block_label_text_size="var(--type-small)",
        layout_gap="var(--space-2)",
        input_padding="var(--space-2)",
        input_text_size="var(--type)",
        button_large_padding="0 var(--space-3)",
        button_large_text_size="var(--type)",
        button_medium_padding="0 var(--space-3)",
        button_medium_text_size="var(--type)",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
    )
