"""Declarations of a stopper's settings, one class attribute for each setting.

Specs, error messages, the command line's help, docs/stoppers.md, the lane editor and Explore's sliders are
all generated from these declarations.
"""

from dataclasses import dataclass
from typing import Any

from adaedl.errors import Parameter, UserError

DEFAULT_MAX_DRAFT = 12
DEEPEST_DEFAULT = 16  # the largest default of any stopper; recordings are this deep by default
MAX_DRAFT_LIMIT = 64


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting; in an instance the attribute holds the setting's value instead.

    Attributes:
        default: the default value. A setting accepts None only if its default is None.
        kind: bool for a switch, int for a whole number, float for any number.
        low, high: the (inclusive) range of a number.
        words, symbol: its label, such as “threshold” and “λ”; the symbol may be empty.
        about: one sentence that says what it does.
        slider: the slider in Explore that moves it; None if it has its default there. Stoppers with a setting
            on the slider "lambda" have a curve over λ, stoppers with a setting on "k" a curve over k.
        slider_range: the range of that slider, if it is not the range of the setting.
        complement: whether the slider shows 1 − the setting.
        limits_draft: whether it is a number of drafted tokens, which the depth of a recording limits.
    """

    default: Any
    kind: type
    words: str
    about: str
    low: float | None = None
    high: float | None = None
    symbol: str = ""
    slider: str | None = None
    slider_range: tuple[float, float] | None = None
    complement: bool = False
    limits_draft: bool = False

    def check(self, stopper: str, name: str, value: Any) -> Any:
        """Return a value converted to `kind`.

        Raises:
            UserError: it is of another kind or out of range.
        """
        if value is None and self.default is None:
            return None
        parameter = Parameter(name, self.words, self.symbol)
        if self.kind is bool:
            if not isinstance(value, bool):
                raise UserError("{}: {} is {!r}; it must be true or false.", stopper, parameter, value)
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        details = (stopper, parameter, value, self.low, self.high)
        if not is_number or not self.low <= value <= self.high:
            raise UserError("{}: {} is {!r}; it must be a number from {} to {}.", *details)
        if self.kind(value) != value:
            raise UserError("{}: {} is {!r}; it must be a whole number from {} to {}.", *details)
        return self.kind(value)


# These return Any so that `gamma: float = number(0.2, …)` type-checks, as dataclasses.field does.


def number(default: float | None, low: float, high: float, words: str, about: str, **more) -> Any:
    """Declare a setting that is a number from `low` to `high`; `more` as in `Setting`."""
    return Setting(default, float, words, about, low, high, **more)


def whole(default: int, low: int, high: int, words: str, about: str, **more) -> Any:
    """Declare a setting that is a whole number from `low` to `high`, such as a number of rounds."""
    return Setting(default, int, words, about, low, high, **more)


def draft_length(default: int, words: str, about: str, **more) -> Any:
    """Declare a setting that is a number of drafted tokens, from 1 to MAX_DRAFT_LIMIT."""
    return Setting(default, int, words, about, 1, MAX_DRAFT_LIMIT, limits_draft=True, **more)


def switch(default: bool, words: str, about: str, **more) -> Any:
    """Declare a setting that is true or false."""
    return Setting(default, bool, words, about, **more)


def longest_draft(default: int = DEFAULT_MAX_DRAFT, **more) -> Any:
    """Declare `max_draft`, which most stoppers have."""
    return draft_length(default, "max draft length", "No round drafts more tokens than this.", **more)


def settings_of(stopper: type) -> dict[str, Setting]:
    """Return the settings of a stopper class, its own first, then its base classes'. A class that replaces a
    base class's setting by a plain value does not have this setting."""
    names = dict.fromkeys(name for cls in stopper.__mro__ for name in vars(cls))
    return {name: value for name in names if isinstance(value := getattr(stopper, name), Setting)}
