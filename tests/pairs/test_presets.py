import subprocess
import sys

import pytest

from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, resolve


def test_the_default_pair_needs_no_account_and_no_gpu():
    preset = resolve(DEFAULT_PAIR)
    assert not preset.gated
    assert preset.min_memory_gib <= 4
    assert preset.draft is None
    assert preset.drafter.endswith(".safetensors")


def test_every_preset_is_found_by_its_name_and_has_exactly_one_kind_of_drafter():
    for name, preset in PRESETS.items():
        assert resolve(f" {name} ") is preset
        drafts = [preset.draft, preset.drafter, preset.draft_bits]
        assert sum(kind is not None for kind in drafts) == 1
        assert "/" in preset.target
        assert preset.draft_name


def test_gated_presets_say_what_to_do():
    gated = [preset for preset in PRESETS.values() if preset.gated]
    assert [preset.name for preset in gated] == ["llama-3.1-8b"]
    assert "HF_TOKEN" in gated[0].description


def test_two_models_are_separated_by_a_colon():
    preset = resolve("org/big:other/small")
    assert (preset.target, preset.draft) == ("org/big", "other/small")
    assert not preset.drafts_for_itself
    assert preset.name == "org/big:other/small"


def test_a_model_can_draft_for_itself():
    assert resolve("org/model:org/model").drafts_for_itself


@pytest.mark.parametrize(
    ("text", "models"),
    [
        (r"C:\a:C:\b", (r"C:\a", r"C:\b")),
        (r"C:\a b : d:/c ", (r"C:\a b", "d:/c")),
        (r"C:\a:org/draft", (r"C:\a", "org/draft")),
        (r"org/target:C:\b", ("org/target", r"C:\b")),
        ("./a:/b", ("./a", "/b")),
        (r"\\host\a:\\host\b", (r"\\host\a", r"\\host\b")),
    ],
)
def test_the_colon_of_a_drive_separates_no_models(text, models):
    preset = resolve(text)
    assert (preset.target, preset.draft) == models
    assert resolve(preset.name) == preset


@pytest.mark.parametrize(
    "text",
    [
        "gpt5",
        "",
        "org/model",
        "org/model:",
        ":org/model",
        "a/b:c/d:e/f",
        r"C:\a",
        r"C:\a:",
        r"C:\a:C:\b:c/d",
        " : ",
        None,
    ],
)
def test_anything_else_is_refused_with_the_presets_and_the_syntax(text):
    with pytest.raises(UserError) as error:
        resolve(text)
    assert "org/target:org/draft" in str(error.value)
    assert all(name in str(error.value) for name in PRESETS)


def test_presets_are_listed_without_importing_torch():
    code = (
        "import sys, adaedl.pairs.presets; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
