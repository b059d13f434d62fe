"""Share the steps of a job among threads; the docstring of this package explains how."""

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
    MAX_BLOCKS,
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

# The 64-bit words of a thread in a team's memory, each on a separate cache line.
DONE, ACTIVE, ASLEEP, SEMAPHORE, CLOCK = range(0, 40, 8)
LINE_BYTES = 8 * 64
TEAM_JOB = 64  # the offset of the job's address in a team's memory, in bytes
COUNT_BITS = 24  # of a word that holds a tick in its upper bits and a count in its lower bits
IDLE_NS = 300_000  # how long a thread without work keeps its core; waking it up takes about 50 µs
PATIENCE_NS = 3_000  # plus twice a chunk's duration, before a thread computes chunks that others have claimed
UNKNOWN_NS = 50_000  # an assumed duration of a chunk, for a thread that has not done one in this step


@compiled
def word(j, thread, which):
    """Return the address of a thread's word in a team's memory."""
    return j.lines + thread * LINE_BYTES + 8 * which


@compiled
def nanoseconds(address):
    """Return the time in nanoseconds. The two words at `address` are overwritten."""
    clock_gettime(1, address)  # CLOCK_MONOTONIC
    return int64s(address)[0] * 1_000_000_000 + int64s(address)[1]


@compiled
def now(j, thread):
    return nanoseconds(word(j, thread, CLOCK))


@compiled
def newest_tick(j):
    """Return the tick of the last step that has a finished chunk. All steps before it are finished."""
    newest = 0
    for thread in range(j.threads):
        newest = max(newest, load(word(j, thread, DONE)) >> COUNT_BITS)
    return newest


@compiled
def is_finished(j, tick, chunks):
    """Return whether all chunks of a step are done."""
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
    address = word(j, thread, DONE)
    counted = int64s(address)[0]
    if counted >> COUNT_BITS != tick:
        counted = tick << COUNT_BITS
    release(address, counted + 1)


@compiled
def chunks_of(j, f, steps, c, m, index):
    """Return the number of chunks of a step of a job."""
    if j.kind == FORWARDS:
        return chunks_of_step(f, steps[index])
    if j.kind == CHOOSES:
        return c.rows if index == 2 else c.rows * PIECES
    return product_chunks(m.product, m.sink, m.rows)


@compiled
def prepare(j, f, steps, m, index, thread):
    """Prepare a step's input in the thread's own memory; return its address."""
    if j.kind == FORWARDS:
        return prepare_step(f, steps[index], thread)
    if j.kind == MULTIPLIES:
        scales = m.scratch + thread * m.scratch_bytes + 4 * MAX_BLOCKS * ROWS * BLOCK
        return quantise_if_int8(m.product, m.x, m.rows, scales + 4 * m.rows, scales)
    return 0


@compiled
def do_chunk(j, f, steps, c, m, index, chunk, x, thread, state):
    """Do a chunk unless it is done."""
    tick = j.tick + index
    if load(state) >= tick:
        return
    if j.kind == FORWARDS:
        compute_chunk(f, steps[index], chunk, x, thread)
    elif j.kind == CHOOSES:
        choose_chunk(c, index, chunk, thread)
    else:
        work = m.scratch + thread * m.scratch_bytes
        scales = work + 4 * MAX_BLOCKS * ROWS * BLOCK
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
    """Do a thread's share of a step, then chunks that others have not done. When this returns, the step is
    finished."""
    tick, threads = j.tick + index, j.threads
    start_ns = now(j, thread) if threads > 1 else 0
    x = prepare(j, f, steps, m, index, thread)
    first, last = range_of(chunks, thread, threads)
    for chunk in range(first, last):
        do_chunk(j, f, steps, c, m, index, chunk, x, thread, state_of(j, thread, chunk - first))
    if is_finished(j, tick, chunks):
        return
    end_ns = now(j, thread)
    for turn in range(1, threads):  # from the ends of the others' ranges, back to what they have reached
        owner = (thread + turn) % threads
        start, end = range_of(chunks, owner, threads)
        for chunk in range(end - 1, start - 1, -1):
            state = state_of(j, owner, chunk - start)
            if load(state) >= tick:
                continue
            claimed = end - start == 1 if chunk == start else load(state - 8) >= tick
            if claimed:
                break
            do_chunk(j, f, steps, c, m, index, chunk, x, thread, state)
    count = last - first
    until = now(j, thread) + PATIENCE_NS + 2 * ((end_ns - start_ns) // count if count else UNKNOWN_NS)
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
            sched_yield()  # to a thread that is between its swap and its count


@compiled
def range_of(chunks, thread, threads):
    """Return the first chunk of a thread's range and the end of the range."""
    return chunks * thread // threads, chunks * (thread + 1) // threads


@compiled
def state_of(j, thread, index):
    """Return the address of the state of a chunk, given its index in a thread's range."""
    return j.states + thread * j.state_bytes + 8 * index


@compiled
def run_job(j, thread):
    """Work on a job until all of its steps are finished."""
    f = carray(untyped(j.call), 1, FORWARD)[0]  # only the record of the job's kind is read
    steps = carray(untyped(f.steps) if j.kind == FORWARDS else untyped(j.call), j.steps, STEP_OF_FORWARD)
    c = carray(untyped(j.call), 1, CHOOSE)[0]
    m = carray(untyped(j.call), 1, MULTIPLY)[0]
    index = 0
    while True:
        index = max(index, newest_tick(j) - j.tick)  # skip steps that others have finished
        if index >= j.steps:
            return
        chunks = chunks_of(j, f, steps, c, m, index)
        if not is_finished(j, j.tick + index, chunks):
            run_step(j, f, steps, c, m, index, chunks, thread)
        index += 1


# A team's memory holds its epoch and its job's address, then LINE_BYTES for each thread.


@compiled
def job_of(team):
    return carray(untyped(load(team + TEAM_JOB)), 1, JOB)[0]


@compiled
def lead(team, job):
    """Open a job to a team and work on it too. When this returns, the job is done. The epoch is odd while a
    job is open."""
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
    """Run a thread of a team until the process ends: work on each open job, and sleep after IDLE_NS without
    one."""
    line = team + LINE_BYTES * (1 + thread)
    active, asleep, semaphore = line + 8 * ACTIVE, line + 8 * ASLEEP, line + 8 * SEMAPHORE
    last_epoch, idle_since = 0, nanoseconds(line + 8 * CLOCK)
    while True:
        epoch = load(team)
        if epoch % 2 and epoch != last_epoch:
            exchange(active, epoch)
            if load(team) == epoch:  # if the job is closed after this, the leader sees this thread as active
                j = job_of(team)
                if thread < j.threads:
                    run_job(j, thread)
            exchange(active, 0)
            last_epoch, idle_since = epoch, nanoseconds(line + 8 * CLOCK)
            continue
        for _ in range(32):
            pause()
        if nanoseconds(line + 8 * CLOCK) - idle_since > IDLE_NS:
            exchange(asleep, 1)
            epoch = load(team)
            if not (epoch % 2 and epoch != last_epoch and exchange(asleep, 0)):
                sem_wait(semaphore)  # until `lead` wakes this thread
            idle_since = nanoseconds(line + 8 * CLOCK)
