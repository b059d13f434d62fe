"""Sentences for users of the page and the command line, and `UserError`, the exception that carries one."""

from collections.abc import Callable


class Parameter(str):
    """The name of a parameter in a sentence, such as max_new_tokens. The page replaces it with the label of
    the field, and the command line with the option.

    Args:
        words, symbol: the label, for a setting of a stopper, which has no command-line option of its own.
    """

    words: str
    symbol: str

    def __new__(cls, name: str, words: str = "", symbol: str = ""):
        parameter = super().__new__(cls, name)
        parameter.words, parameter.symbol = words, symbol
        return parameter

    @property
    def option(self) -> str:
        """Its command-line option, such as --max-new-tokens; the bare name for a setting of a stopper."""
        return str(self) if self.words else f"--{self.replace('_', '-')}"


class Sentence(str):
    """An English sentence that keeps its parts, so that the page can translate it: `template` with {}
    placeholders as in str.format, and the `values` that fill them.

    A template without values is used literally. Values may come from anyone; long ones are truncated.
    """

    template: str
    values: tuple

    def __new__(cls, template: str, *values):
        values = tuple(map(_shortened, values))
        sentence = super().__new__(cls, template.format(*values) if values else template)
        sentence.template, sentence.values = template, values
        return sentence

    def naming(self, name: Callable[[Parameter], str]) -> str:
        """Return the sentence with each parameter replaced by `name(parameter)`."""
        if not self.values:
            return str(self)
        return self.template.format(*(_named(value, name) for value in self.values))


def _named(value, name: Callable[[Parameter], str]):
    if isinstance(value, UserError):
        value = value.sentence
    if isinstance(value, Parameter):
        return name(value)
    return value.naming(name) if isinstance(value, Sentence) else value


MAX_VALUE_CHARACTERS = 400


class _Unquoted(str):
    """A text whose repr is the text itself, so that {!r} adds no quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _shortened(value):
    """Return a value, truncated if it is too long for a sentence."""
    if isinstance(value, Sentence | UserError | int | float | None):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE_CHARACTERS else f"{value[:MAX_VALUE_CHARACTERS]}…"
    text = repr(value) if isinstance(value, list | tuple | dict | set | bytes) else str(value)
    return value if len(text) <= MAX_VALUE_CHARACTERS else _Unquoted(f"{text[:MAX_VALUE_CHARACTERS]}…")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the exception's name if it has no message. Messages
    from libraries and chat templates may contain anything, so unprintable characters become spaces."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = "".join(character if character.isprintable() else " " for character in line).strip()
    return line or type(error).__name__


def is_failure(error: BaseException) -> bool:
    """Return whether an exception is a failure rather than a request to exit: any Exception, or a panic in a
    Rust library, which is not an Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class UserError(ValueError):
    """Bad input, or a condition that the user can fix. The message is one sentence that names the value and
    says what is valid. The page shows it; the command line prints it and exits with status 2.

    Args:
        template, values: as in `Sentence`.
    """

    def __init__(self, template: str, *values):
        self.sentence = Sentence(template, *values)
        super().__init__(str(self.sentence))
