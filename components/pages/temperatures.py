"""Temperatures side by side: one click runs the Race page's race at each of TEMPERATURES, one after the
other."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

from components.pages.race import RaceEvents, RaceWork
from components.parts.settings import RaceSettings
from components.parts.temperatures import TEMPERATURES, ComparedRace, comparison_value, temperatures_panel
from components.serving.race_session import RaceUpdate, play


class TemperaturesWork(RaceWork):
    """Races with the same settings at several temperatures, as one job. Each race waits for its own turn on
    the device and has its own time limit. Stop ends the running race, and the later ones don't start."""

    def __init__(self, *args):
        super().__init__(*args)
        self.races: list[ComparedRace] = []
        self.running: int | None = 0

    @property
    def size(self) -> int:
        """The bytes of all feeds, and of the trace while it grows."""
        ended = [race.feed for race in self.races]
        return sum(feed.size for feed in ended) + (0 if self.feed in ended else super().size)

    @property
    def state(self) -> tuple[int, int | None]:
        """The values on which the panel's value depends."""
        return len(self.races), self.running

    @property
    def value(self) -> str:
        """The panel's value: the races that have ended."""
        return comparison_value(self.races, self.running)

    def play(self, settings: RaceSettings) -> Iterator[RaceUpdate]:
        """Yield the updates of all races, ending with the last race's final one."""
        try:
            for self.running, temperature in enumerate(TEMPERATURES):
                last = yield from self._play_one(replace(settings, temperature=temperature))
                if self.session.stop_requested or temperature == TEMPERATURES[-1]:
                    break
        finally:
            self.running = None
        yield last

    def _play_one(self, settings: RaceSettings) -> Generator[RaceUpdate, None, RaceUpdate]:
        """Yield a race's updates except the last one, which is returned; keep the race."""
        with closing(play(self.models, settings, self.session)) as updates:
            for update in updates:
                if not update.ended:
                    yield update
        if self.feed:
            self.feed.end()
            self.races.append(ComparedRace(self.feed, whole=update.key == "page.status_finished"))
        return update


def temperatures_view(race: RaceEvents) -> None:
    """Build the panel and its button below the Race page's player, and connect them."""
    panel = temperatures_panel(race.compare)
    race.show_results(race.start_by(race.compare, TemperaturesWork), TemperaturesWork, panel)
