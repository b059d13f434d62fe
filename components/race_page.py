"""Write adaedl/html/race.html, the page into which `adaedl.to_html` puts a race:

python -m components.race_page

The file contains the page's player, from assets/js, with its words and colours, so that the engine needs
neither the page nor assets/.
"""

import base64
import hashlib
import json
import re
from html import escape
from urllib.parse import quote

from adaedl.html.page import ESCAPED, PAGE, RACE, STOPPERS_HERE, TITLE
from components.parts.bundle import JS, file_bundle
from components.parts.folders import ASSETS
from components.parts.palette import css_variables
from components.parts.stoppers import stoppers_json
from components.parts.texts import LANGUAGES, texts

ENTRY = "html/page.js"
SHEETS = ("html/html.css", "palette.css", "player.css", "player/hero.css", "lecture/lecture.css")
KEY = re.compile(r"""["'`]([a-z]+\.\w[\w.]*)(["'`]|\$\{)""")  # the key of a text, or a prefix of several keys


def page() -> str:
    """Return the file, with placeholders for a race, its stoppers and its title."""
    script = f'{file_bundle(ENTRY)}\nload("{ENTRY}").start();\n'
    style = "\n".join([css_variables(), *((JS / name).read_text("utf-8") for name in SHEETS)])
    words = {f"{language}.json": words_of(script, language) for language in LANGUAGES}
    words["stoppers.json"] = [each for each in json.loads(stoppers_json()) if each["of_engine"]]
    icon = quote((ASSETS / "favicon.svg").read_text("utf-8"))
    unscripted = "<br>".join(escape(texts(language)["html.noscript"]) for language in LANGUAGES)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(script, style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<link rel="icon" href="data:image/svg+xml,{icon}">
<style>{style}</style>
</head>
<body>
<noscript>{unscripted}</noscript>
<script type="application/json" id="race">{RACE}</script>
<script type="application/json" id="stoppers">{STOPPERS_HERE}</script>
<script type="application/json" id="words">{harmless(words)}</script>
<script>{script}</script>
</body>
</html>
"""


def harmless(words: dict) -> str:
    """Return JSON without a `<`."""
    return json.dumps(words, ensure_ascii=False).translate(ESCAPED)


def policy(script: str, style: str) -> str:
    """Return a Content-Security-Policy that allows this script and this style sheet, and nothing else."""
    return (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def words_of(script: str, language: str) -> dict[str, str]:
    """Return the texts of a language that a script uses."""
    matches = KEY.findall(script)
    keys = {key for key, end in matches if end != "${"}
    prefixes = tuple(key for key, end in matches if end == "${")
    return {key: text for key, text in texts(language).items() if key in keys or key.startswith(prefixes)}


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
