"""What a visitor can set, and the check that turns a bad value into one sentence at once."""

from dataclasses import dataclass

from adaedl.errors import UserError
from adaedl.models.presets import resolve
from adaedl.race import check_race
from adaedl.sampling import Sampling

MAX_LANES = 6
MAX_NEW_TOKENS = 512  # a page is shared; the command line has no such limit


@dataclass(frozen=True)
class RaceSettings:
    """The controls' values as they came, unchecked."""

    prompt: str
    pair: str
    lanes: list[str]
    temperature: float
    top_k: int
    top_p: float
    max_new_tokens: int
    seed: int
    verification: str

    def check(self) -> None:
        """Everything that can be known before the models are there.

        Raises:
            UserError: naming the value that will not do, and what would.
        """
        check_race(self.prompt or "", self.lanes, self.max_new_tokens, self.seed, self.verification)
        if len(self.lanes) > MAX_LANES:
            raise UserError(f"The race has {len(self.lanes)} lanes; the page shows at most {MAX_LANES}.")
        Sampling(self.temperature, self.top_k, self.top_p)
        if self.max_new_tokens > MAX_NEW_TOKENS:
            raise UserError(
                f"{self.max_new_tokens} new tokens were asked for; the page writes at most {MAX_NEW_TOKENS}."
            )
        resolve(self.pair)


def whole(value):
    """A number field's value as an int where it is one; the check names whatever else it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
