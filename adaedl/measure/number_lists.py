"""Lists of numbers in one line, separated by commas."""

from adaedl.errors import Parameter, UserError


def read_numbers(name: str, text: str) -> list[float]:
    """Return the numbers in a text such as "0,0.7".

    Raises:
        UserError: an item is not a number.
    """
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            "{}: {!r} is not a list of numbers; separate them with commas, such as 0,0.7.",
            Parameter(name),
            text,
        ) from None


def read_whole_numbers(name: str, text: str) -> list[int]:
    """Return the whole numbers in a text such as "0,1".

    Raises:
        UserError: an item is not a whole number.
    """
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            "{}: {!r} is not a list of whole numbers; separate them with commas, such as 0,1.",
            Parameter(name),
            text,
        ) from None
