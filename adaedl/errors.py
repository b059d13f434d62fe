"""Sentences for visitors and shell users, and the one exception that carries a sentence."""


class Sentence(str):
    """An English sentence that remembers its parts, so that a page can show it in another language:
    `template` with {} placeholders as in str.format, and the `values` that fill them.

    A template without values is used as it is. Values may come from anybody; long ones are truncated.
    """

    template: str
    values: tuple

    def __new__(cls, template: str, *values):
        values = tuple(map(_shortened, values))
        made = super().__new__(cls, template.format(*values) if values else template)
        made.template, made.values = template, values
        return made


MOST_CHARACTERS = 400  # of a value


class _Shown(str):
    """A text that stands for a value unchanged, quoted or not."""

    def __repr__(self) -> str:
        return str(self)


def _shortened(value):
    """Return a value as a sentence shows it."""
    if isinstance(value, Sentence | UserError | int | float | None):
        return value
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else f"{value[:MOST_CHARACTERS]}…"
    shown = repr(value) if isinstance(value, list | tuple | dict | set | bytes) else str(value)
    return value if len(shown) <= MOST_CHARACTERS else _Shown(f"{shown[:MOST_CHARACTERS]}…")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its name if it has none. Messages of libraries and
    of a model's own program may contain anything; unprintable characters become spaces."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = "".join(character if character.isprintable() else " " for character in line).strip()
    return line or type(error).__name__


def is_failure(error: BaseException) -> bool:
    """Return whether an exception is a failure rather than a request to end the program: any Exception, or a
    panic of a Rust library, which is not an Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class UserError(ValueError):
    """Bad input, or a condition that the user can fix. The message is one sentence that names the value and
    what would be valid. The page shows it; the command line prints it and exits with status 2.

    Args:
        template, values: as in `Sentence`.
    """

    def __init__(self, template: str, *values):
        self.sentence = Sentence(template, *values)
        super().__init__(str(self.sentence))
