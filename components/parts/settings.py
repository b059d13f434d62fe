"""A visitor's settings for a race: the values as they came, and their check."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs

from adaedl.errors import UserError
from adaedl.pairs.presets import resolve
from adaedl.request import NOISE_VERSION, RaceRequest, Sampling
from adaedl.stopping import split_specs
from components.settings.hosting import host

MOST_EXACT = 2**53  # floats represent every whole number up to this one exactly
MAX_LANES = 6  # of a race on the page; opened traces may have as many as the engine runs


@dataclass(frozen=True)
class RaceSettings:
    """The unchecked values of the controls, a link or an API call. `check` turns them into a RaceRequest."""

    MOST_LANES: ClassVar[int] = MAX_LANES

    prompt: str
    pair: str
    lanes: list[str]
    temperature: float
    top_k: int
    top_p: float
    max_new_tokens: int
    seed: int
    verification: str
    system: str = ""
    continuation: bool = False

    def check(self) -> RaceRequest:
        """Check the settings as far as possible before the models are loaded; return the requested race.

        Raises:
            UserError: a value is invalid; the message names it and says what is valid.
        """
        for name in ("prompt", "pair", "verification", "system"):
            if not isinstance(value := getattr(self, name), str | None):
                raise UserError("{} is {!r:.60}; it must be text.", name, value)
        request = RaceRequest(
            self.prompt or "",
            self.lanes,
            Sampling(self.temperature, self.top_k, self.top_p),
            self.max_new_tokens,
            self.seed,
            self.verification,
            self.system or "",
            self.continuation,
        )
        if len(self.lanes) > self.MOST_LANES:
            raise UserError(
                "The race has {} lanes; the page runs at most {} at once.", len(self.lanes), self.MOST_LANES
            )
        most = host().max_tokens  # a page is shared; the command line has no such limit
        if self.max_new_tokens > most:
            raise UserError(
                "You requested {} new tokens; this page allows at most {}.", self.max_new_tokens, most
            )
        resolve(self.pair)
        return request

    @classmethod
    def from_query(cls, query: str, default: "RaceSettings") -> "RaceSettings | None":
        """Return the unchecked settings in a shared link's query (assets/js/share.js reads the link), with
        missing settings from `default`; None if the query has no settings.

        Raises:
            UserError: the link is damaged.
        """
        parameters = {key: values[-1] for key, values in parse_qs(query.lstrip("?"), True).items()}
        if "damaged" in parameters:
            raise UserError("The prompt in this link is cut off or damaged; ask for the complete link.")
        values = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        if not values:
            return None
        for name in ("temperature", "top_p", "top_k", "max_new_tokens"):
            if name in values:
                values[name] = _number(values[name])
        if "seed" in values:
            values["seed"] = read_seed(values["seed"])
        if "continuation" in values:
            word = values["continuation"]
            values["continuation"] = {"true": True, "false": False}.get(word.lower(), word)
        if "lanes" in values:
            values["lanes"] = split_specs(values["lanes"])
        elif "pair" in values:
            with suppress(UserError):  # which `check` raises
                values["lanes"] = list(resolve(values["pair"]).lanes)
        return cls(**{**default.__dict__, **values})


def draws_other_noise(settings: RaceSettings, query: str) -> bool:
    """Return whether the race of a shared link writes a different text here than where the link was made,
    because the random numbers of the shared noise have changed since then."""
    noise_version = parse_qs(query.lstrip("?")).get("noise", ["1"])[-1]
    return (
        settings.verification == "shared_noise"
        and settings.temperature != 0
        and noise_version != str(NOISE_VERSION)
    )


def whole(value):
    """Return a number field's value as an int if it is whole; otherwise return it unchanged, for the check to
    reject."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_seed(value):
    """Return a seed as an int if it is whole; otherwise return it unchanged, for the check to reject.
    Browsers send it as text, because JavaScript's integers are exact only up to 2^53.

    Raises:
        UserError: the seed came as a number so large that it may have been rounded.
    """
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,30}\s*", value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) > MOST_EXACT:
        raise UserError("The seed arrived as {!r}, a rounded number; send it as a string of digits.", value)
    return whole(value)


def read_text(name: str, value: object) -> str:
    """Return a caller's value that must be text.

    Raises:
        UserError: the value is not text.
    """
    if not isinstance(value, str):
        raise UserError("{} is {!r:.60}; it must be text.", name, value)
    return value


def read_specs(lanes: object) -> list[str]:
    """Return the specs in a caller's comma-separated list.

    Raises:
        UserError: the value is not text.
    """
    if not isinstance(lanes, str):
        raise UserError("lanes is {!r:.60}; it must be text, such as autoregressive,fixed:k=4.", lanes)
    return split_specs(lanes)


def read_lanes(text: str | None) -> list[str]:
    """Return the specs in the value of the lanes editor, a JSON list.

    Raises:
        UserError: the value is not a list of texts.
    """
    try:
        specs = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        specs = None
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise UserError('The lanes are not a JSON list of stoppers, such as ["autoregressive", "adaedl"].')
    return specs


def _number(text: str):
    """Return the number in a text; otherwise return the text, for the check to reject."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
