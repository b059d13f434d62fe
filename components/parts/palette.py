"""The page's colours: Okabe and Ito's, which people with any kind of colour vision can tell apart.

Figures need them in Python and the strips in CSS, so the CSS variables are generated from the same names.
"""

import gradio as gr

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREY = "#808080"  # 3.9 : 1 on white and 4.9 : 1 on the dark page


def css_variables() -> str:
    """Return the colours as CSS variables, for assets/page.css."""
    colours = {
        "blue": BLUE,
        "vermilion": VERMILION,
        "green": GREEN,
        "purple": PURPLE,
        "orange": ORANGE,
        "sky": SKY,
        "grey": GREY,
    }
    return ":root {" + " ".join(f"--{name}: {value};" for name, value in colours.items()) + "}"


def theme() -> gr.themes.Default:
    """Return gradio's theme with the system's fonts (nothing is fetched from elsewhere), and with the colours
    of buttons and small print changed to a contrast of at least 4.5 : 1."""
    made = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return made.set(
        button_primary_background_fill=BLUE,
        button_primary_background_fill_hover="#005a8c",
        button_primary_background_fill_dark=BLUE,
        button_primary_background_fill_hover_dark="#005a8c",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
    )
