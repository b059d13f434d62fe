"""What may be asked of the engine, checked before a model is there.

Nothing here imports torch, so that a page or a command line can refuse a bad request at once.
"""

from dataclasses import asdict, dataclass

from adaedl.errors import UserError
from adaedl.stopping import check_live, make_stopper

VERIFICATIONS = ("shared_noise", "speculative")
NOISE_VERSION = 2  # of the shared noise: a new one writes another text for the same seed
# Below temperature 1 AdaEDL does better with the entropy of q at 1 than of q as sampled, and then better from
# λ0 = 0.2 than from 0.4 (docs/study.md).
DEFAULT_LANES = ("autoregressive", "fixed:k=4", "adaedl:threshold=0.2,score_temperature=1.0")
MAX_LANES = 12
MIN_TEMPERATURE = 1e-3  # logits over less leave the range of float16 and float32
MAX_PROMPT_CHARACTERS = 20_000


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is argmax; `top_k` 0 and `top_p` 1 are off.

    Raises:
        UserError: a value is not a number or out of range.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        _check_number(
            self.temperature, 0, 10, "temperature is {!r}; it must be between 0 and 10, such as 0.7."
        )
        if 0 < self.temperature < MIN_TEMPERATURE:
            raise UserError(
                "temperature is {!r}; use 0 for argmax decoding, or a value of at least {:g}.",
                self.temperature,
                MIN_TEMPERATURE,
            )
        _check_number(
            self.top_p, 1e-6, 1, "top_p is {!r}; it must be above 0 and at most 1; 1 switches it off."
        )
        whole = "top_k is {!r}; it must be a whole number from 0 to 1,000,000; 0 switches it off."
        _check_number(self.top_k, 0, 10**6, whole)
        if self.top_k != int(self.top_k):
            raise UserError(whole, self.top_k)
        object.__setattr__(self, "top_k", int(self.top_k))  # 40.0 is fine, but torch wants 40

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def to_dict(self) -> dict:
        return asdict(self)


def _check_number(value, low: float, high: float, refusal: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise UserError(refusal, value)


def check_run(max_new_tokens: int, seed: int, verification: str) -> None:
    """Raises UserError where a run's length, seed or verification rule is not possible."""
    if not isinstance(max_new_tokens, int) or isinstance(max_new_tokens, bool) or max_new_tokens < 1:
        raise UserError("max_new_tokens is {!r}; it must be a whole number of at least 1.", max_new_tokens)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UserError("The seed is {!r}; it must be a whole number from 0 to 2^63 − 1.", seed)
    if verification not in VERIFICATIONS:
        raise UserError(
            "There is no verification rule {!r}; choose one of {}.", verification, ", ".join(VERIFICATIONS)
        )


def check_race(prompt: str, lanes: list[str], max_new_tokens: int, seed: int, verification: str) -> None:
    """All that can be said against a race before its pair is loaded.

    Raises:
        UserError: naming the value that will not do, and what would.
    """
    check_run(max_new_tokens, seed, verification)
    if not lanes:
        raise UserError("The race has no lanes; name at least one stopper, such as adaedl.")
    if len(lanes) > MAX_LANES:
        raise UserError("The race has {} lanes; at most {} run at once.", len(lanes), MAX_LANES)
    for spec in lanes:
        check_live(make_stopper(spec))
    check_prompt(prompt)
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise UserError(
            "The prompt has {:,} characters; at most {:,} are read.", len(prompt), MAX_PROMPT_CHARACTERS
        )


def check_prompt(prompt: str) -> None:
    """Raises UserError where a prompt is empty, or holds what no tokenizer reads."""
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
