"""Check a user's request before any model is loaded.

Nothing here imports torch, so the page and the command line can reject an invalid request at once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from adaedl.errors import Parameter, UserError
from adaedl.stopping import STOPPERS, Stopper, check_live, checked, construct, make_stopper
from adaedl.trace import Lane, SamplingInfo

VERIFICATIONS = ("shared_noise", "speculative")
NOISE_VERSION = 2  # of the shared noise; with another version, a seed gives another text
DEFAULT_LANES = ("autoregressive", "fixed:k=4", "adaedl")  # presets add their own: `Preset.lanes`
MAX_LANES = 12
MIN_TEMPERATURE = 1e-3  # dividing logits by less would leave the range of float16 and float32
MAX_PROMPT_CHARACTERS = 20_000


class Sampling(SamplingInfo):
    """How tokens are sampled, checked to be in the ranges that this program supports.

    Raises:
        UserError: a value is not a number or out of range.
    """

    def __init__(self, temperature: float = 0.7, top_k: int = 0, top_p: float = 1.0):
        not_temperature = "{} is {!r}; it must be between 0 and 10, such as 0.7."
        _check_number("temperature", temperature, 0, 10, not_temperature)
        if 0 < temperature < MIN_TEMPERATURE:
            raise UserError(
                "{} is {!r}; use 0 for greedy decoding, or a value of at least {:g}.",
                Parameter("temperature"),
                temperature,
                MIN_TEMPERATURE,
            )
        not_top_p = "{} is {!r}; it must be above 0 and at most 1; 1 switches it off."
        _check_number("top_p", top_p, 1e-6, 1, not_top_p)
        not_top_k = "{} is {!r}; it must be a whole number from 0 to 1,000,000; 0 switches it off."
        _check_number("top_k", top_k, 0, 10**6, not_top_k)
        if top_k != int(top_k):
            raise UserError(not_top_k, Parameter("top_k"), top_k)
        super().__init__(temperature, int(top_k), top_p)  # 40.0 is fine, but torch wants 40

    @classmethod
    def of(cls, info: SamplingInfo) -> "Sampling":
        """Return a trace's sampling as a `Sampling`, which checks it if it came from a file.

        Raises:
            UserError: as for the constructor.
        """
        return info if isinstance(info, cls) else cls(**asdict(info))


@dataclass(frozen=True)
class RaceRequest:
    """A valid race. The constructor checks every value and parses every spec, so later code need not.

    Attributes:
        lanes: stopper specs, see `make_stopper`, in display order.
        system: a system prompt for the target's chat template; if empty, the template's own default.
        continuation: whether the prompt is the start of a text to continue, without a chat template.
        stoppers: the stoppers that the specs describe.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """

    prompt: str
    lanes: Sequence[str]
    sampling: Sampling
    max_new_tokens: int = 96
    seed: int = 0
    verification: str = "shared_noise"
    system: str = ""
    continuation: bool = False
    stoppers: list[Stopper] = field(init=False, repr=False)

    def __post_init__(self):
        stoppers = check_race(self.prompt, self.lanes, self.max_new_tokens, self.seed, self.verification)
        check_system(self.system, self.continuation)
        object.__setattr__(self, "stoppers", stoppers)


def _check_number(name: str, value, low: float, high: float, refusal: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise UserError(refusal, Parameter(name), value)


def check_run(max_new_tokens: int, seed: int, verification: str) -> None:
    """Raise UserError if a run's length, seed or verification rule is invalid."""
    if not isinstance(max_new_tokens, int) or isinstance(max_new_tokens, bool) or max_new_tokens < 1:
        raise UserError(
            "{} is {!r}; it must be a whole number of at least 1.",
            Parameter("max_new_tokens"),
            max_new_tokens,
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UserError("The seed is {!r}; it must be a whole number from 0 to 2^63 − 1.", seed)
    if verification not in VERIFICATIONS:
        raise UserError(
            "There is no verification rule {!r}; choose one of {}.", verification, ", ".join(VERIFICATIONS)
        )


def check_race(
    prompt: str, lanes: Sequence[str], max_new_tokens: int, seed: int, verification: str
) -> list[Stopper]:
    """Check all that can be checked about a race before its pair is loaded; return its stoppers.

    Raises:
        UserError: a value is invalid; the message names it and says what is valid.
    """
    check_run(max_new_tokens, seed, verification)
    if not lanes:
        raise UserError("The race has no lanes; add at least one, such as adaedl.")
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


def check_system(system: str, continuation: bool) -> None:
    """Raise UserError if a system prompt is not valid text, or is combined with a continuation."""
    if not isinstance(system, str):
        raise UserError("The system prompt is {!r:.60}; it must be text.", system)
    if not isinstance(continuation, bool):
        raise UserError("{} is {!r:.60}; it must be true or false.", Parameter("continuation"), continuation)
    if system and continuation:
        raise UserError(
            "A text to continue has no system prompt; leave the system prompt empty, or ask for an answer "
            "instead of a continuation."
        )
    if len(system) > MAX_PROMPT_CHARACTERS:
        raise UserError(
            "The system prompt has {:,} characters; at most {:,} are read.",
            len(system),
            MAX_PROMPT_CHARACTERS,
        )
    surrogate = _first_surrogate(system)
    if surrogate is not None:
        raise UserError(
            "The system prompt is not valid text: {!r} at character {} is an unpaired surrogate; remove it.",
            system[surrogate],
            surrogate + 1,
        )


def fresh_stopper(lane: Lane) -> Stopper:
    """Return a new stopper with the settings of a lane, checked unless it is one of the engine's own.

    Raises:
        UserError: the stopper cannot be constructed, or one of its attributes is invalid.
    """
    return checked(construct(STOPPERS[lane.stopper], lane.settings))


def check_prompt(prompt: str) -> None:
    """Raise UserError if a prompt is empty or is not valid text."""
    if not isinstance(prompt, str):
        raise UserError("The prompt is {!r:.60}; it must be text.", prompt)
    if not prompt.strip():
        raise UserError("The prompt is empty; enter a question or the start of a text.")
    surrogate = _first_surrogate(prompt)
    if surrogate is not None:
        raise UserError(
            "The prompt is not valid text: {!r} at character {} is an unpaired surrogate; remove it.",
            prompt[surrogate],
            surrogate + 1,
        )


def _first_surrogate(text: str) -> int | None:
    """Return the index of the first unpaired surrogate in a text; None if there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None
