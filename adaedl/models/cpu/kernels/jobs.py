"""How threads share a job, step by step: see the docstring of this package."""

from numba import carray

from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.choices import PIECES, choose_chunk
from adaedl.models.cpu.kernels.forward_steps import chunks_of_step, compute_chunk, finish_chunk, prepare_step
from adaedl.models.cpu.kernels.intrinsics import (
    clock_gettime,
    exchange,
    int64s,
    load,
    pause,
    release,
    sched_yield,
    sem_post,
    sem_wait,
    swap,
    untyped,
)
from adaedl.models.cpu.kernels.products import (
    MOST_BLOCKS,
    NO_CAP,
    multiply_chunk,
    product_chunks,
    quantise_if_int8,
    store_chunk,
)
from adaedl.models.cpu.kernels.records import (
    CHOOSE,
    CHOOSES,
    FORWARD,
    FORWARDS,
    JOB,
    MULTIPLIES,
    MULTIPLY,
    STEP_OF_FORWARD,
)
from adaedl.models.cpu.kernels.tiles import BLOCK, ROWS

# 64-bit words of a thread's part of a team's memory, each on a cache line of its own.
DONE, ACTIVE, ASLEEP, SEMAPHORE, CLOCK = range(0, 40, 8)
LINE_BYTES = 8 * 64
TEAM_JOB = 64  # where in a team's memory its job's address is
COUNT_BITS = 24  # of a word that holds a tick above and a count below
IDLE_NS = 300_000  # how long a thread without work keeps its core; a wake-up costs some 50 µs
PATIENCE_NS = 3_000  # beside the time of two chunks, before a thread computes what another has claimed
UNKNOWN_NS = 50_000  # the time of a chunk where a thread has seen none of a step


@compiled
def word(j, thread, which):
    """The address of a thread's word in a team's memory."""
    return j.lines + thread * LINE_BYTES + 8 * which


@compiled
def nanoseconds(place):
    """The time; two words at `place` are written over."""
    clock_gettime(1, place)  # CLOCK_MONOTONIC
    return int64s(place)[0] * 1_000_000_000 + int64s(place)[1]


@compiled
def now(j, thread):
    return nanoseconds(word(j, thread, CLOCK))


@compiled
def newest_tick(j):
    """The tick of the last step that has a finished chunk; all steps before it are finished."""
    newest = 0
    for thread in range(j.threads):
        newest = max(newest, load(word(j, thread, DONE)) >> COUNT_BITS)
    return newest


@compiled
def is_finished(j, tick, chunks):
    """Whether a step's chunks are all done."""
    done = 0
    for thread in range(j.threads):
        counted = load(word(j, thread, DONE))
        if counted >> COUNT_BITS > tick:
            return True
        if counted >> COUNT_BITS == tick:
            done += counted & ((1 << COUNT_BITS) - 1)
    return done >= chunks


@compiled
def count_done(j, tick, thread):
    """Count a chunk as done by a thread."""
    place = word(j, thread, DONE)
    counted = int64s(place)[0]
    if counted >> COUNT_BITS != tick:
        counted = tick << COUNT_BITS
    release(place, counted + 1)


@compiled
def chunks_of(j, f, steps, c, m, index):
    """How many chunks a step of a job has."""
    if j.kind == FORWARDS:
        return chunks_of_step(f, steps[index])
    if j.kind == CHOOSES:
        return c.rows if index == 2 else c.rows * PIECES
    return product_chunks(m.product, m.sink, m.rows)


@compiled
def prepare(j, f, steps, m, index, thread):
    """Make ready what a step reads in the thread's own memory; returns its address."""
    if j.kind == FORWARDS:
        return prepare_step(f, steps[index], thread)
    if j.kind == MULTIPLIES:
        scales = m.scratch + thread * m.scratch_bytes + 4 * MOST_BLOCKS * ROWS * BLOCK
        return quantise_if_int8(m.product, m.x, m.rows, scales + 4 * m.rows, scales)
    return 0


@compiled
def do_chunk(j, f, steps, c, m, index, chunk, x, thread, state):
    """Do a chunk that is not done yet."""
    tick = j.tick + index
    if load(state) >= tick:
        return
    if j.kind == FORWARDS:
        compute_chunk(f, steps[index], chunk, x, thread)
    elif j.kind == CHOOSES:
        choose_chunk(c, index, chunk, thread)
    else:
        work = m.scratch + thread * m.scratch_bytes
        scales = work + 4 * MOST_BLOCKS * ROWS * BLOCK
        multiply_chunk(m.product, m.sink, chunk, m.rows, x, scales, work)
    before = load(state)
    if before >= tick or not swap(state, before, tick):
        return
    if j.kind == FORWARDS:
        finish_chunk(f, steps[index], chunk, thread)
    elif j.kind == MULTIPLIES:
        store_chunk(m.product, m.sink, m.activation, NO_CAP, chunk, m.rows, work, m.out)
    count_done(j, tick, thread)


@compiled
def run_step(j, f, steps, c, m, index, chunks, thread):
    """Do a thread's part of a step, then what others leave undone; the step is finished when this returns."""
    tick, threads = j.tick + index, j.threads
    began = now(j, thread) if threads > 1 else 0
    x = prepare(j, f, steps, m, index, thread)
    first, last = range_of(chunks, thread, threads)
    for chunk in range(first, last):
        do_chunk(j, f, steps, c, m, index, chunk, x, thread, state_of(j, thread, chunk - first))
    if is_finished(j, tick, chunks):
        return
    ready = now(j, thread)
    for turn in range(1, threads):  # from the ends of the others' ranges, up to where they may be
        owner = (thread + turn) % threads
        start, end = range_of(chunks, owner, threads)
        for chunk in range(end - 1, start - 1, -1):
            state = state_of(j, owner, chunk - start)
            if load(state) >= tick:
                continue
            begun = end - start == 1 if chunk == start else load(state - 8) >= tick
            if begun:
                break
            do_chunk(j, f, steps, c, m, index, chunk, x, thread, state)
    did = last - first
    until = now(j, thread) + PATIENCE_NS + 2 * ((ready - began) // did if did else UNKNOWN_NS)
    while now(j, thread) < until:
        for _ in range(4):
            if is_finished(j, tick, chunks):
                return
            pause()
    while not is_finished(j, tick, chunks):
        for turn in range(1, threads):
            owner = (thread + turn) % threads
            start, end = range_of(chunks, owner, threads)
            for chunk in range(start, end):
                do_chunk(j, f, steps, c, m, index, chunk, x, thread, state_of(j, owner, chunk - start))
        if not is_finished(j, tick, chunks):
            sched_yield()  # to one that is between its swap and its count


@compiled
def range_of(chunks, thread, threads):
    """The chunks that a thread does if all keep their cores."""
    return chunks * thread // threads, chunks * (thread + 1) // threads


@compiled
def state_of(j, thread, place):
    """The address of the state of a chunk, which is at a place in the range of a thread."""
    return j.states + thread * j.state_bytes + 8 * place


@compiled
def run_job(j, thread):
    """Work on a job until all of its steps are finished."""
    f = carray(untyped(j.call), 1, FORWARD)[0]  # only the record of the job's kind is read
    steps = carray(untyped(f.steps) if j.kind == FORWARDS else untyped(j.call), j.steps, STEP_OF_FORWARD)
    c = carray(untyped(j.call), 1, CHOOSE)[0]
    m = carray(untyped(j.call), 1, MULTIPLY)[0]
    index = 0
    while True:
        index = max(index, newest_tick(j) - j.tick)  # what others have finished meanwhile is passed over
        if index >= j.steps:
            return
        chunks = chunks_of(j, f, steps, c, m, index)
        if not is_finished(j, j.tick + index, chunks):
            run_step(j, f, steps, c, m, index, chunks, thread)
        index += 1


# A team's memory: its epoch, its job's address, then a line for each thread.


@compiled
def job_of(team):
    return carray(untyped(load(team + TEAM_JOB)), 1, JOB)[0]


@compiled
def lead(team, job):
    """Open a job to a team and work on it too; it is done when this returns. The epoch is odd while a job is
    open."""
    exchange(team + TEAM_JOB, job)
    j = job_of(team)
    if j.threads > 1:
        exchange(team, load(team) + 1)
        for thread in range(1, j.threads):
            if exchange(word(j, thread, ASLEEP), 0):
                sem_post(word(j, thread, SEMAPHORE))
    run_job(j, 0)
    if j.threads > 1:
        exchange(team, load(team) + 1)


@compiled
def follow(team, thread):
    """A thread of a team, for good: work on each job while it is open; sleep where none comes for a while."""
    line = team + LINE_BYTES * (1 + thread)
    active, asleep, semaphore = line + 8 * ACTIVE, line + 8 * ASLEEP, line + 8 * SEMAPHORE
    seen, idle_since = 0, nanoseconds(line + 8 * CLOCK)
    while True:
        epoch = load(team)
        if epoch % 2 and epoch != seen:
            exchange(active, epoch)
            if load(team) == epoch:  # whoever closes it from now on sees that this thread is active
                j = job_of(team)
                if thread < j.threads:
                    run_job(j, thread)
            exchange(active, 0)
            seen, idle_since = epoch, nanoseconds(line + 8 * CLOCK)
            continue
        for _ in range(32):
            pause()
        if nanoseconds(line + 8 * CLOCK) - idle_since > IDLE_NS:
            exchange(asleep, 1)
            epoch = load(team)
            if not (epoch % 2 and epoch != seen and exchange(asleep, 0)):
                sem_wait(semaphore)  # until `lead` has found this thread asleep
            idle_since = nanoseconds(line + 8 * CLOCK)
