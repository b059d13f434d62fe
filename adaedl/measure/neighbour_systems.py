"""The systems that `adaedl.measure.neighbours` measures, in this process and in a second engine."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from adaedl.decoding import read_prompt
from adaedl.measure.bench import Job, run_lane, run_transformers
from adaedl.measure.peers import transformers as reference
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.measure.work import DecodingWork
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling

DRAFTING = "adaedl:threshold=0.2,score_temperature=1.0"
TEMPERATURE = 0.7
TRANSFORMERS_TOKENS = 8  # next to busy processes one token may take over a second
LEAST_S = 1.0  # minimum duration of a measurement, which repeats its text
MOST_S = 3.0  # maximum duration of a text
MOST_RUNS = 100


@dataclass(frozen=True)
class System:
    """A system to measure. `run` writes one text, within a limit in seconds, and returns the work."""

    system: str
    lane: str
    run: Callable[[float], DecodingWork]


def make_systems(pair: Pair, max_new_tokens: int, seed: int) -> list[System]:
    """Return our autoregressive lane, a drafting lane and transformers' `generate`, all on the same prompt.

    Raises:
        UserError: the prompt does not fit, or transformers' model cannot be loaded.
    """
    prompt_ids = pair.encode(BENCH_PROMPTS[0])
    context = read_prompt(pair, prompt_ids, max_new_tokens)
    job = Job(prompt_ids, context, Sampling(TEMPERATURE), max_new_tokens, seed)
    short = Job(prompt_ids, context, job.sampling, min(max_new_tokens, TRANSFORMERS_TOKENS), seed)
    target = reference.target_model(pair)

    def run_lane_for(lane: str, most_s: float) -> DecodingWork:
        return run_lane(pair, lane, job, most_s=most_s)

    lanes = [System("adaedl", lane, partial(run_lane_for, lane)) for lane in (BASELINE, DRAFTING)]
    generate = partial(run_transformers, pair, target, short)
    return [*lanes, System("transformers_generate", "generate", lambda most_s: generate(most_s=most_s))]


def measure(system: System, least_s: float = LEAST_S, most_s: float = MOST_S) -> DecodingWork:
    """Run a system's text until its clock has counted `least_s` seconds; return the total work."""
    total = DecodingWork()
    for _ in range(MOST_RUNS):
        total.add(system.run(most_s))
        if total.seconds >= least_s:
            break
    return total
