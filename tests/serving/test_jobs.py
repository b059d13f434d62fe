"""Jobs: work that continues for a grace period while nobody follows it, and its results."""

import json
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
from components.pages.temperatures import TemperaturesWork
from components.parts.controls import DEFAULTS
from components.parts.sweep_results import EXAMPLE, open_rows
from components.parts.temperatures import TEMPERATURES
from components.serving import jobs as module
from components.serving.jobs import Jobs
from components.serving.race_session import RaceUpdate, Session, play
from components.serving.sweep_session import Pace

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds
MANY = 10**12


class Counting:
    """Work that counts, one number each time that `go` is released; without waiting if `free`."""

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


def started(jobs: Jobs, **options) -> tuple[str, Counting]:
    work = Counting(**options)
    return jobs.start(work), work


def words(updates: Iterator[RaceUpdate]) -> list[str]:
    return list(dict.fromkeys(update.words for update in updates))


def finished(jobs: Jobs, size: int) -> str:
    name, _ = started(jobs, last=1, size=size, free=True)
    assert words(jobs.follow(name))[-1] == "end"
    return name


def test_follower_gets_all_updates(jobs, monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", PATIENCE)
    name, work = started(jobs, last=5)
    with closing(jobs.follow(name)) as updates:
        for number in range(5):
            work.go.release()
            while next(updates).words != str(number + 1):
                pass
        assert words(updates)[-1] == "end"
    assert work.closed
    assert not jobs.is_under_way(name)


def test_work_continues_without_followers_and_is_found_by_its_id(jobs):
    name, work = started(jobs)
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
    assert words(jobs.follow(name)) == ["end"]  # and again later


def test_work_pauses_until_the_last_update_has_been_sent(jobs, monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", PATIENCE)
    name, work = started(jobs, last=MANY)
    job = jobs._jobs[name]

    def release() -> None:
        until(lambda: job._sent, PATIENCE)  # there is a follower
        work.go.release(3)

    threading.Thread(target=release, daemon=True).start()
    with closing(jobs.follow(name)) as updates:
        assert next(updates).words == "1"
        assert work.done == 1  # although it has been released
        assert next(updates).words == "2"
        jobs.stop(name)
        assert words(updates)[-1] == "end"


def test_follower_that_sends_nothing_does_not_block_work(jobs, monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", 0.01)
    name, work = started(jobs, last=3, free=True)
    with closing(jobs.follow(name)) as updates:
        next(updates)
        until(lambda: work.closed, PATIENCE)


def test_abandoned_work_ends_after_its_grace_period(jobs):
    name, work = started(jobs, last=MANY, grace_s=0.05, free=True)
    until(lambda: work.closed, PATIENCE)
    until(lambda: not jobs.is_under_way(name), PATIENCE)
    assert 0 < work.done < MANY
    (update,) = jobs.follow(name)
    assert update.ended
    assert "host.status_left" in update.words


def test_followed_work_runs_to_its_end(jobs):
    name, work = started(jobs, last=50)
    with closing(jobs.follow(name)) as updates:
        work.go.release()
        next(updates)
        work.grace_s = 0
        work.free = True
        work.go.release()
        assert words(updates)[-1] == "end"
    assert work.done == 50


def test_stop_ends_work_without_a_follower(jobs):
    name, work = started(jobs, last=MANY)
    with closing(jobs.follow(name)):
        pass
    jobs.stop(name)
    assert words(jobs.follow(name))[-1] == "end"
    assert work.done < MANY


def test_work_is_found_only_by_its_unguessable_id(jobs):
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


def test_least_recently_used_job_is_deleted_above_the_budget(jobs):
    first, second = finished(jobs, 40), finished(jobs, 40)
    assert jobs.find(first, Counting)  # used since
    third = finished(jobs, 40)
    exist = [jobs.find(name, Counting) is not None for name in (first, second, third)]
    assert exist == [True, False, True]
    assert jobs.size == 80


def test_large_job_replaces_several_small_ones(jobs):
    small = [finished(jobs, 10) for _ in range(9)]
    large = finished(jobs, 200)
    assert [jobs.find(name, Counting) for name in small] == [None] * 9
    assert jobs.find(large, Counting)


def test_running_or_followed_job_is_never_deleted(jobs):
    running, work = started(jobs, size=70)
    followed = finished(jobs, 20)
    with closing(jobs.follow(followed)) as updates:
        next(updates)
        finished(jobs, 50)
        finished(jobs, 50)
        assert jobs.find(running, Counting)
        assert jobs.find(followed, Counting)
    work.stop()


def test_forgotten_job_is_deleted_when_it_has_ended(jobs):
    done, (running, work) = finished(jobs, 1), started(jobs, last=1)
    jobs.forget(done)
    jobs.forget(running)
    assert jobs.find(done, Counting) is None
    assert jobs.find(running, Counting) is work
    work.go.release()
    until(lambda: jobs.find(running, Counting) is None, PATIENCE)


def test_opened_file_is_kept_like_a_job(jobs):
    name = jobs.keep(Counting(size=30), RaceUpdate("opened", ended=True))
    assert words(jobs.follow(name)) == ["opened"]
    assert not jobs.is_under_way(name)
    assert jobs.size == 30


def test_unused_job_is_deleted(jobs, monkeypatch):
    name = finished(jobs, 1)
    jobs.make_room()
    assert jobs.size == 1
    monkeypatch.setattr(module, "KEPT_S", -1)
    jobs.make_room()
    assert jobs.size == 0
    assert jobs.find(name, Counting) is None


def test_memory_of_races_and_sweeps_is_counted():
    models = hosted_models()
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=60)
    race = models.jobs.start(RaceWork(models, lambda: settings, None))
    assert "page.status_finished" in words(models.jobs.follow(race))[-1]
    raced = models.jobs.find(race, RaceWork)
    assert raced.session.trace is None
    assert raced.feed.trace is None
    assert len(raced.feed.text) < raced.size < 1.5 * len(raced.feed.text)
    inputs = ([], 1, "w1 w2", "0", '["autoregressive","adaedl"]', "0", 8, "shared_noise")
    sweep = models.jobs.start(SweepWork(models, Pace(), inputs))
    assert "sweep.status_finished" in words(models.jobs.follow(sweep))[-1]
    swept = models.jobs.find(sweep, SweepWork)
    assert len(swept.rows) == 2
    assert swept.size > len(swept.rows.to_csv())
    assert models.jobs.size == raced.size + swept.size
    models.jobs.most_bytes = swept.size
    models.jobs.make_room()
    assert models.jobs.find(race, RaceWork) is None
    assert models.jobs.find(sweep, SweepWork)


def compared(settings, stop_in: int | None = None) -> tuple[TemperaturesWork, str]:
    """Run a comparison of temperatures, and stop it in race number `stop_in`; return it and its last
    words."""
    models = hosted_models()
    name = models.jobs.start(TemperaturesWork(models, lambda: settings, None))
    work = models.jobs.find(name, TemperaturesWork)
    last = ""
    for update in models.jobs.follow(name):
        last = update.words
        if stop_in is not None and work.running == stop_in and update.key == "page.status_racing":
            models.jobs.stop(name)
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    assert work.size == sum(race.feed.size for race in work.races)
    return work, last


def traces_of(work: TemperaturesWork) -> list[dict]:
    value = json.loads(work.value)
    assert value["running"] is None
    lines = [race["feed"].splitlines() for race in value["races"]]
    assert all(json.loads(each[-1]) == {"end": True} for each in lines)
    return [json.loads(each[1])["trace"] for each in lines]


def test_comparison_runs_a_race_at_each_temperature():
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=40)
    work, last = compared(settings)
    assert "page.status_finished" in last
    assert [trace["sampling"]["temperature"] for trace in traces_of(work)] == list(TEMPERATURES)
    assert all(race.whole for race in work.races)
    alone = Session()
    list(play(hosted_models(), replace(settings, temperature=TEMPERATURES[1]), alone))
    assert [lane.text for lane in alone.trace.lanes] == texts_of(work.races[1].feed)


def texts_of(feed) -> list[str]:
    """Return the lanes' texts, put together from a feed's lines."""
    texts = ["", ""]
    for line in map(json.loads, feed.lines):
        if "drop" in line and "text" in line:
            text = texts[line["lane"]]
            texts[line["lane"]] = text[: len(text) - line["drop"]] + line["text"]
    return texts


def test_stopped_comparison_keeps_its_races_and_starts_no_other(monkeypatch):
    monkeypatch.setattr(module, "SENDING_S", PATIENCE)
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=110)
    work, last = compared(settings, stop_in=1)
    assert "page.status_stopped" in last
    assert [race.whole for race in work.races] == [True, False]


def test_invalid_comparison_is_refused_in_one_sentence():
    work, last = compared(replace(DEFAULTS, prompt=""))
    assert "The prompt is empty" in last
    assert work.races == []


def test_feed_of_an_abandoned_race_ends(monkeypatch):
    monkeypatch.setattr(RaceWork, "grace_s", 0)
    models = hosted_models()
    settings = replace(DEFAULTS, prompt="w1 w2", lanes=["autoregressive", "adaedl"], max_new_tokens=110)
    name = models.jobs.start(RaceWork(models, lambda: settings, None))
    until(lambda: not models.jobs.is_under_way(name), PATIENCE)
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    work = models.jobs.find(name, RaceWork)
    assert work.feed is None or work.feed.lines[-1] == '{"end":true}\n'


def test_refusal_is_the_last_update_and_keeps_earlier_results():
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
jobs, threads = Jobs(100), threading.active_count()
work = Counting(last=5, free=True, grace_s=0)
name = jobs.start(work)
assert (work.done, threading.active_count()) == (0, threads)
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
def test_zero_gpu_work_ends_with_the_stream_that_advances_it():
    path = os.pathsep.join([str(TESTS / "stand_ins"), str(TESTS / "serving"), str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", ON_ZERO_GPU], env=environment, check=True, timeout=PATIENCE * 4)
