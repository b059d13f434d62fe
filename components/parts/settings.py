"""What a visitor can set for a race: the values as they came, and their check."""

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

MAX_LANES = 6  # of a race on the page; opened traces may have as many as the engine runs


@dataclass(frozen=True)
class RaceSettings:
    """The values of the controls, a link or an API call as they came, unchecked. `check` turns them into a
    RaceRequest."""

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

    def check(self) -> RaceRequest:
        """Check the settings as far as possible before the models are loaded; return the race they ask for.

        Raises:
            UserError: a value is invalid; the message names it and says what is valid.
        """
        for name in ("prompt", "pair", "verification"):
            if not isinstance(value := getattr(self, name), str | None):
                raise UserError("{} is {!r:.60}; it must be text.", name, value)
        request = RaceRequest(
            self.prompt or "",
            self.lanes,
            Sampling(self.temperature, self.top_k, self.top_p),
            self.max_new_tokens,
            self.seed,
            self.verification,
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
        """Return the settings of a shared link's query, unchecked (assets/js/share.js reads the link).
        Settings that it leaves out are taken from `default`. None if it has no setting at all.

        Raises:
            UserError: the link is damaged.
        """
        given = {key: values[-1] for key, values in parse_qs(query.lstrip("?"), True).items()}
        if "damaged" in given:
            raise UserError("The prompt in this link is cut off or damaged; ask for the complete link.")
        known = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
        if not known:
            return None
        for name in ("temperature", "top_p", "top_k", "max_new_tokens"):
            if name in known:
                known[name] = _number(known[name])
        if "seed" in known:
            known["seed"] = read_seed(known["seed"])
        if "lanes" in known:
            known["lanes"] = split_specs(known["lanes"])
        elif "pair" in known:
            with suppress(UserError):  # which `check` raises
                known["lanes"] = list(resolve(known["pair"]).lanes)
        return cls(**{**default.__dict__, **known})


def draws_other_noise(settings: RaceSettings, query: str) -> bool:
    """Return whether the race of a shared link writes a different text here than where the link was made,
    because the random numbers of the shared noise have changed since."""
    made_with = parse_qs(query.lstrip("?")).get("noise", ["1"])[-1]
    return (
        settings.verification == "shared_noise"
        and settings.temperature != 0
        and made_with != str(NOISE_VERSION)
    )


def whole(value):
    """Return a number field's value as an int if it is whole; otherwise unchanged, for the check to name."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_seed(value):
    """Return a seed as an int if it is one; otherwise unchanged, for the check to name. Browsers send it as
    text, because JavaScript's integers are exact only up to 2^53."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,30}\s*", value):
        return int(value)
    return whole(value)


def read_lanes(text: str | None) -> list[str]:
    """Return the specs in the value of the lanes editor, a JSON list.

    Raises:
        UserError: it is not a list of texts.
    """
    try:
        specs = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        specs = None
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise UserError('The lanes are not a JSON list of stoppers, such as ["autoregressive", "adaedl"].')
    return specs


def _number(text: str):
    """Return the number in a text; otherwise the text, for the check to name."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
