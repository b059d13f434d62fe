"""Jobs: work that goes on while nobody follows it, for its grace, and what is kept of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hosted import hosted_models, until

from components.pages.race import RaceWork
from components.pages.sweep import SweepWork
from components.parts.controls import DEFAULTS
from components.parts.sweep_results import EXAMPLE, open_rows
from components.serving import jobs as module
from components.serving.jobs import Jobs
from components.serving.race_session import RaceUpdate
from components.serving.sweep_session import Pace

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds
MANY = 10**12


class Counting:
    """Counts, one number at a time, each once it is let."""

    def __init__(self, last: int = 3, size: int = 1, grace_s: float = 1000, free: bool = False):
        self.last = last
        self.size = size
        self.grace_s = grace_s
        self.free = free
        self.go = threading.Semaphore(0)
        self.stopped = self.closed = False
        self.done = 0

    def run(self) -> Iterator[RaceUpdate]:
        try:
            while self.done < self.last and not self.stopped:
                if not self.free:
                    assert self.go.acquire(timeout=PATIENCE)
                self.done += 1
                yield RaceUpdate(str(self.done))
            yield RaceUpdate("end", ended=True)
        finally:
            self.closed = True

    def stop(self) -> None:
        self.stopped = True
        self.go.release()


@pytest.fixture
def jobs() -> Jobs:
    return Jobs(100)


def begun(jobs: Jobs, **options) -> tuple[str, Counting]:
    work = Counting(**options)
    return jobs.start(work), work


def words(updates: Iterator[RaceUpdate]) -> list[str]:
    return list(dict.fromkeys(update.words for update in updates))


def finished(jobs: Jobs, size: int) -> str:
    name, _ = begun(jobs, last=1, size=size, free=True)
    assert words(jobs.follow(name))[-1] == "end"
    return name


def test_a_follower_is_told_of_everything_to_the_end(jobs):
    name, work = begun(jobs, last=5)
    with closing(jobs.follow(name)) as updates:
        for number in range(5):
            work.go.release()
            while next(updates).words != str(number + 1):
                pass
        assert words(updates)[-1] == "end"
    assert work.closed
    assert not jobs.is_under_way(name)


def test_work_goes_on_unfollowed_and_is_found_further_by_whoever_has_its_id(jobs):
    name, work = begun(jobs)
    with closing(jobs.follow(name)) as updates:
        work.go.release()
        assert next(updates).words == "1"
    work.go.release()
    until(lambda: work.done == 2, PATIENCE)
    assert jobs.is_under_way(name)
    with closing(jobs.follow(name)) as updates:
        until(lambda: next(updates).words == "2", PATIENCE)
        work.go.release()
        assert words(updates)[-1] == "end"
    assert words(jobs.follow(name)) == ["end"]  # and once more, later


def test_work_rests_until_what_it_told_has_been_sent(jobs, monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", PATIENCE)
    name, work = begun(jobs, last=MANY)
    with closing(jobs.follow(name)) as updates:
        for _ in range(3):
            work.go.release()
        assert next(updates).words == "1"
        assert work.done == 1  # though it may go on
        assert next(updates).words == "2"
        jobs.stop(name)
        assert words(updates)[-1] == "end"


def test_a_follower_that_sends_nothing_does_not_hold_work_up_for_good(jobs, monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", 0.01)
    name, work = begun(jobs, last=3, free=True)
    with closing(jobs.follow(name)) as updates:
        next(updates)
        until(lambda: work.closed, PATIENCE)


def test_what_nobody_comes_back_to_ends_after_its_grace_and_says_so(jobs):
    name, work = begun(jobs, last=MANY, grace_s=0.05, free=True)
    until(lambda: work.closed, PATIENCE)
    until(lambda: not jobs.is_under_way(name), PATIENCE)
    assert 0 < work.done < MANY
    (update,) = jobs.follow(name)
    assert update.ended
    assert "host.status_left" in update.words


def test_work_that_is_followed_is_not_left_however_long_it_takes(jobs):
    name, work = begun(jobs, last=50)
    with closing(jobs.follow(name)) as updates:
        work.go.release()
        next(updates)
        work.grace_s = 0
        work.free = True
        work.go.release()
        assert words(updates)[-1] == "end"
    assert work.done == 50


def test_stop_reaches_work_whoever_follows_it(jobs):
    name, work = begun(jobs, last=MANY)
    with closing(jobs.follow(name)):
        pass
    jobs.stop(name)
    assert words(jobs.follow(name))[-1] == "end"
    assert work.done < MANY


def test_ids_cannot_be_guessed_and_are_all_that_finds_work(jobs):
    names = [jobs.start(Counting(last=0)) for _ in range(50)]
    assert len(set(names)) == 50
    assert min(map(len, names)) >= 22  # 128 bits
    for name in (None, "", names[0][:-1], 0, ["a"], {"a": 1}):
        assert jobs.find(name, Counting) is None
        assert not jobs.is_under_way(name)
        assert list(jobs.follow(name)) == []
        jobs.stop(name)
    assert jobs.find(names[0], Counting)
    assert jobs.find(names[0], Jobs) is None


def test_what_was_not_used_for_longest_goes_where_there_is_more_than_the_budget(jobs):
    first, second = finished(jobs, 40), finished(jobs, 40)
    assert jobs.find(first, Counting)  # used since
    third = finished(jobs, 40)
    kept = [jobs.find(name, Counting) is not None for name in (first, second, third)]
    assert kept == [True, False, True]
    assert jobs.size == 80


def test_a_large_one_makes_room_of_several_and_stays_itself(jobs):
    small = [finished(jobs, 10) for _ in range(9)]
    large = finished(jobs, 200)
    assert [jobs.find(name, Counting) for name in small] == [None] * 9
    assert jobs.find(large, Counting)


def test_work_that_is_under_way_or_followed_is_never_forgotten(jobs):
    running, work = begun(jobs, size=70)
    followed = finished(jobs, 20)
    with closing(jobs.follow(followed)) as updates:
        next(updates)
        finished(jobs, 50)
        finished(jobs, 50)
        assert jobs.find(running, Counting)
        assert jobs.find(followed, Counting)
    work.stop()


def test_what_no_tab_asks_for_goes_once_it_has_ended(jobs):
    done, (running, work) = finished(jobs, 1), begun(jobs, last=1)
    jobs.forget(done)
    jobs.forget(running)
    assert jobs.find(done, Counting) is None
    assert jobs.find(running, Counting) is work
    work.go.release()
    until(lambda: jobs.find(running, Counting) is None, PATIENCE)


def test_an_opened_file_is_kept_like_what_was_done_here(jobs):
    name = jobs.keep(Counting(size=30), RaceUpdate("opened", ended=True))
    assert words(jobs.follow(name)) == ["opened"]
    assert not jobs.is_under_way(name)
    assert jobs.size == 30


def test_what_nobody_uses_any_more_goes_by_itself(jobs, monkeypatch):
    name = finished(jobs, 1)
    jobs.make_room()
    assert jobs.size == 1
    monkeypatch.setattr(module, "KEPT_S", -1)
    jobs.make_room()
    assert jobs.size == 0
    assert jobs.find(name, Counting) is None


def test_what_a_race_and_a_sweep_hold_is_counted_and_no_more_than_their_page_can_ask_for():
    models = hosted_models()
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=60)
    race = models.jobs.start(RaceWork(models, lambda: settings, None))
    assert "page.status_finished" in words(models.jobs.follow(race))[-1]
    kept = models.jobs.find(race, RaceWork)
    assert kept.session.trace is None
    assert kept.feed.trace is None
    assert len(kept.feed.text) < kept.size < 1.5 * len(kept.feed.text)
    inputs = ([], 1, "w1 w2", "0", '["autoregressive","adaedl"]', "0", 8, "shared_noise")
    sweep = models.jobs.start(SweepWork(models, Pace(), inputs))
    assert "sweep.status_finished" in words(models.jobs.follow(sweep))[-1]
    rows = models.jobs.find(sweep, SweepWork)
    assert len(rows.rows) == 2
    assert rows.size > len(rows.rows.to_csv())
    assert models.jobs.size == kept.size + rows.size
    models.jobs.most_bytes = rows.size
    models.jobs.make_room()
    assert models.jobs.find(race, RaceWork) is None
    assert models.jobs.find(sweep, SweepWork)


def test_a_race_that_is_left_ends_as_one_whose_player_waits_for_no_more(monkeypatch):
    monkeypatch.setattr(RaceWork, "grace_s", 0)
    models = hosted_models()
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=110)
    name = models.jobs.start(RaceWork(models, lambda: settings, None))
    until(lambda: not models.jobs.is_under_way(name), PATIENCE)
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    work = models.jobs.find(name, RaceWork)
    assert work.feed is None or work.feed.lines[-1] == '{"end":true}\n'


def test_what_will_not_do_is_the_last_word_and_keeps_what_was_there():
    models = hosted_models()
    refused = models.jobs.start(RaceWork(models, lambda: replace(DEFAULTS, prompt=""), None))
    assert "The prompt is empty" in words(models.jobs.follow(refused))[-1]
    before = SweepWork(models, Pace(), ())
    before.session.rows = open_rows(EXAMPLE.read_bytes())
    inputs = ([], 1, "w1", "hot", '["adaedl"]', "0", 8, "shared_noise")
    name = models.jobs.start(SweepWork(models, Pace(), inputs, before))
    assert "hot" in words(models.jobs.follow(name))[-1]
    assert models.jobs.find(name, SweepWork).rows is before.rows


ON_ZERO_GPU = """
import threading
from contextlib import closing
from test_jobs import Counting, Jobs, words
jobs, here = Jobs(100), threading.active_count()
work = Counting(last=5, free=True, grace_s=0)
name = jobs.start(work)
assert (work.done, threading.active_count()) == (0, here)
with closing(jobs.follow(name)) as updates:
    assert next(updates).words == "1"
    assert next(updates).words == "2"
assert (work.closed, work.done) == (True, 2)
assert "host.status_left" in words(jobs.follow(name))[-1]
whole = Counting(last=5, free=True, grace_s=0)
assert words(jobs.follow(jobs.start(whole)))[-1] == "end"
jobs.start(Counting(size=1000))
jobs.most_bytes = 0
jobs.make_room()
assert jobs.size == 1000
jobs.start(Counting(size=1))
jobs.make_room()
assert jobs.size == 1
"""


@pytest.mark.slow
def test_on_zero_gpu_work_lives_no_longer_than_the_stream_that_advances_it_and_is_kept():
    path = os.pathsep.join([str(TESTS / "stand_ins"), str(TESTS / "serving"), str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", ON_ZERO_GPU], env=environment, check=True, timeout=PATIENCE * 4)
