"""The clock of a lane at other costs equals the clock of a replay at those costs."""

import pytest
from toys import tiny_pair

from adaedl.recordings.clock import clock_of, rounds_by_work
from adaedl.recordings.recorder import record
from adaedl.recordings.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import STOPPERS, make_stopper


@pytest.fixture(scope="module")
def recording():
    return record(tiny_pair("feature"), "w1 w2 w3", Sampling(0.8), max_new_tokens=40)


@pytest.mark.parametrize("spec", [*STOPPERS, "svip:h=0.2,keep_last=false", "fixed:k=1"])
def test_one_replay_gives_the_clock_at_every_cost(recording, spec):
    if "times" in make_stopper(spec).looks_at:
        return
    work = rounds_by_work(replay(recording, spec))
    for times in (recording.times, *(recording.times.with_cost_ratio(c) for c in (0.01, 0.5))):
        assert clock_of(work, times) == pytest.approx(replay(recording, spec, times).clock_s, rel=1e-12)
