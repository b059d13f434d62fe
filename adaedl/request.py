"""Check what a user asks of the engine, before any model is loaded.

Nothing here imports torch, so the page and the command line can refuse a bad request at once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from adaedl.errors import UserError
from adaedl.stopping import STOPPERS, Stopper, check_live, make_stopper
from adaedl.trace import Lane, SamplingInfo

VERIFICATIONS = ("shared_noise", "speculative")
NOISE_VERSION = 2  # of the shared noise; another version writes another text for the same seed
DEFAULT_LANES = ("autoregressive", "fixed:k=4", "adaedl")  # presets add their own: `Preset.lanes`
MAX_LANES = 12
MIN_TEMPERATURE = 1e-3  # logits divided by less leave the range of float16 and float32
MAX_PROMPT_CHARACTERS = 20_000


class Sampling(SamplingInfo):
    """How tokens are drawn, with values in the ranges that this program runs.

    Raises:
        UserError: a value is not a number or out of range.
    """

    def __init__(self, temperature: float = 0.7, top_k: int = 0, top_p: float = 1.0):
        _check_number(temperature, 0, 10, "temperature is {!r}; it must be between 0 and 10, such as 0.7.")
        if 0 < temperature < MIN_TEMPERATURE:
            raise UserError(
                "temperature is {!r}; use 0 for argmax decoding, or a value of at least {:g}.",
                temperature,
                MIN_TEMPERATURE,
            )
        _check_number(top_p, 1e-6, 1, "top_p is {!r}; it must be above 0 and at most 1; 1 switches it off.")
        whole = "top_k is {!r}; it must be a whole number from 0 to 1,000,000; 0 switches it off."
        _check_number(top_k, 0, 10**6, whole)
        if top_k != int(top_k):
            raise UserError(whole, top_k)
        super().__init__(temperature, int(top_k), top_p)  # 40.0 is fine, but torch wants 40

    @classmethod
    def of(cls, info: SamplingInfo) -> "Sampling":
        """Return a trace's sampling in a form that can be run, checking it if it came from a file.

        Raises:
            UserError: as for the constructor.
        """
        return info if isinstance(info, cls) else cls(**asdict(info))


@dataclass(frozen=True)
class RaceRequest:
    """A race that can be run. The constructor checks every value and parses every spec, so later code need
    not.

    Attributes:
        lanes: stopper specs, see `make_stopper`; the order is the order on screen.
        stoppers: the stoppers that the specs name.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """

    prompt: str
    lanes: Sequence[str]
    sampling: Sampling
    max_new_tokens: int = 96
    seed: int = 0
    verification: str = "shared_noise"
    stoppers: list[Stopper] = field(init=False, repr=False)

    def __post_init__(self):
        stoppers = check_race(self.prompt, self.lanes, self.max_new_tokens, self.seed, self.verification)
        object.__setattr__(self, "stoppers", stoppers)


def _check_number(value, low: float, high: float, refusal: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise UserError(refusal, value)


def check_run(max_new_tokens: int, seed: int, verification: str) -> None:
    """Raise UserError if a run's length, seed or verification rule is invalid."""
    if not isinstance(max_new_tokens, int) or isinstance(max_new_tokens, bool) or max_new_tokens < 1:
        raise UserError("max_new_tokens is {!r}; it must be a whole number of at least 1.", max_new_tokens)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UserError("The seed is {!r}; it must be a whole number from 0 to 2^63 − 1.", seed)
    if verification not in VERIFICATIONS:
        raise UserError(
            "There is no verification rule {!r}; choose one of {}.", verification, ", ".join(VERIFICATIONS)
        )


def check_race(
    prompt: str, lanes: Sequence[str], max_new_tokens: int, seed: int, verification: str
) -> list[Stopper]:
    """Check everything about a race that can be checked before its pair is loaded; return its stoppers.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """
    check_run(max_new_tokens, seed, verification)
    if not lanes:
        raise UserError("The race has no lanes; name at least one stopper, such as adaedl.")
    if len(lanes) > MAX_LANES:
        raise UserError("The race has {} lanes; at most {} run at once.", len(lanes), MAX_LANES)
    stoppers = [make_stopper(spec) for spec in lanes]
    for stopper in stoppers:
        check_live(stopper)
    check_prompt(prompt)
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise UserError(
            "The prompt has {:,} characters; at most {:,} are read.", len(prompt), MAX_PROMPT_CHARACTERS
        )
    return stoppers


def fresh_stopper(lane: Lane) -> Stopper:
    """Return a stopper with the settings of a lane, before its first round."""
    return STOPPERS[lane.stopper](**lane.settings)


def check_prompt(prompt: str) -> None:
    """Raise UserError if a prompt is empty or holds text that no tokenizer can read."""
    if not prompt.strip():
        raise UserError("The prompt is empty; enter a question or the start of a text.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            "The prompt is not valid text: {!r} at character {} is an unpaired surrogate; remove it.",
            prompt[error.start],
            error.start + 1,
        ) from None
