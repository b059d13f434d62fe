"""The sentences that a visitor or a shell user is meant to read, and the one exception that carries one."""


class Sentence(str):
    """An English sentence that remembers what it was made of, so that a page can say it in another language:
    `template` with its {} placeholders as for str.format, and the `values` that fill them.

    A template without values is taken as it stands. Values come from anybody: of a long one only the
    beginning is told.
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
    """A text that stands for a value as it is, quoted or not."""

    def __repr__(self) -> str:
        return str(self)


def _shortened(value):
    """A value as a sentence tells it."""
    if isinstance(value, Sentence | UserError | int | float | None):
        return value
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else f"{value[:MOST_CHARACTERS]}…"
    shown = repr(value) if isinstance(value, list | tuple | dict | set | bytes) else str(value)
    return value if len(shown) <= MOST_CHARACTERS else _Shown(f"{shown[:MOST_CHARACTERS]}…")


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, its name where it says nothing. What a library or a
    model's own program says may hold anything; what no screen should get becomes a space."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = "".join(character if character.isprintable() else " " for character in line).strip()
    return line or type(error).__name__


def is_failure(error: BaseException) -> bool:
    """Return whether an exception says that something failed, and not that the program is to end: any
    Exception, or a panic of a library in Rust, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class UserError(ValueError):
    """Bad input, or a condition the user can mend: the message is one clear sentence
    that names the value and what would do. The page shows it, the command line prints
    it and exits with status 2.

    Args:
        template, values: as in `Sentence`.
    """

    def __init__(self, template: str, *values):
        self.sentence = Sentence(template, *values)
        super().__init__(str(self.sentence))
