"""Lists of numbers as people write them, in one line with commas."""

from adaedl.errors import UserError


def read_numbers(name: str, text: str) -> list[float]:
    """Return the numbers in a text such as "0,0.7".

    Raises:
        UserError: one of them is not a number.
    """
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError("{} is {!r}; write numbers separated by commas, such as 0,0.7.", name, text) from None


def read_whole_numbers(name: str, text: str) -> list[int]:
    """Return the whole numbers in a text such as "0,1".

    Raises:
        UserError: one of them is not a whole number.
    """
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(
            "{} is {!r}; write whole numbers separated by commas, such as 0,1.", name, text
        ) from None
