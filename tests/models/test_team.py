"""Threads that share the CPU kernels' steps give the same bits whatever their number and timing."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from toys import rounded, tiny_llama, tiny_pair

from adaedl.decoding import read_prompt
from adaedl.models.cpu import kernels as cpu_kernels
from adaedl.models.cpu.kernels import team as cpu_team
from adaedl.models.cpu.kernels.jobs import ACTIVE
from adaedl.models.cpu.linear import PackedGate, PackedLinear
from adaedl.models.cpu.packed import PackedModel
from adaedl.models.shared_noise import SharedNoise

MODELS = {
    "float32": lambda: tiny_llama(hidden_size=64, intermediate_size=200, vocab_size=300),
    "bfloat16": lambda: tiny_llama(hidden_size=64, intermediate_size=200, vocab_size=300).bfloat16(),
    "int8": lambda: rounded(tiny_llama, hidden_size=64, intermediate_size=200, vocab_size=300),
}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def threads():
    """Return a function that sets the number of threads for the kernels."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def logits_of(runner, seed: int = 0, counts=(9, 1, 4, 1, 17)) -> torch.Tensor:
    cache, generator = runner.new_cache(64), torch.Generator().manual_seed(seed)
    parts = [torch.randint(runner.vocab_size, (count,), generator=generator) for count in counts]
    return torch.cat([runner.forward(part, cache).logits for part in parts])


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_forward_has_the_same_bits_on_any_number_of_threads(build, threads):
    runner = PackedModel(build())
    threads(1)
    expected = logits_of(runner)
    for count in (2, 3, 4, 1):
        threads(count)
        assert torch.equal(logits_of(runner), expected)


@pytest.mark.parametrize("rows", [1, 8, 40])
def test_products_and_choices_have_the_same_bits_on_any_number_of_threads(rows, threads):
    generator = torch.Generator().manual_seed(rows)
    weight, x = torch.randn(3000, 64, generator=generator), torch.randn(rows, 64, generator=generator)
    products = [PackedLinear(weight), PackedGate(weight), PackedLinear(weight.bfloat16())]
    noise = SharedNoise(7, 3000, torch.device("cpu"))
    results = []
    for count in (1, 2, 3, 4):
        threads(count)
        outputs = [product(x) for product in products]
        choices = cpu_kernels.choose(outputs[0], noise.place(3), 0.8)[0], cpu_kernels.choose(x, None, 1)[0]
        results.append([*outputs, *choices])
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


def test_drafts_have_the_same_bits_on_any_number_of_threads(threads):
    pair = tiny_pair("feature")
    drafts = []
    for count in (1, 2, 3, 4):
        threads(count)
        context = read_prompt(pair, torch.arange(9), 8)
        first = context.session.begin(context.unread, context.features)
        drafts.append((first, context.session.extend(torch.tensor([3]))))
    for others in drafts[1:]:
        assert all(map(torch.equal, drafts[0], others))


def test_threads_that_keep_losing_their_cores_change_no_bit(threads):
    """Run eight threads on a few busy cores, so that some are late and some chunks are computed twice."""
    runner = PackedModel(tiny_llama(hidden_size=64, intermediate_size=512, vocab_size=2000))
    threads(1)
    expected = logits_of(runner)
    threads(8)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            assert all(torch.equal(logits_of(runner), expected) for _ in range(60))
        finally:
            busy.kill()


def test_jobs_of_several_python_threads_do_not_mix(threads):
    runner = PackedModel(tiny_llama(hidden_size=64, intermediate_size=512, vocab_size=2000))
    threads(1)
    expected = [logits_of(runner, seed) for seed in range(4)]
    same = {}

    def work(seed: int) -> None:
        with torch.inference_mode():
            torch.set_num_threads(2)
            same[seed] = all(torch.equal(logits_of(runner, seed), expected[seed]) for _ in range(20))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    threads(1)
    assert same == dict.fromkeys(range(4), True)


def test_memory_that_a_late_thread_may_read_is_kept_until_it_leaves(threads, monkeypatch):
    threads(2)
    team = cpu_team.Team()
    monkeypatch.setattr(cpu_team, "process_team", team)
    product = PackedLinear(torch.randn(64, 64))
    active = team.memory[2, ACTIVE]
    monkeypatch.setattr(team, "started", 2)  # the other thread never runs
    active.fill_(5)
    x = torch.randn(3, 64)
    kept = weakref.ref(x)
    assert torch.allclose(product(x), product(x.clone()))
    del x
    gc.collect()
    assert kept() is not None
    active.fill_(0)
    product(torch.randn(1, 64))
    gc.collect()
    assert kept() is None


def test_a_fork_starts_its_own_threads():
    script = """
import os, sys, torch
from adaedl.models.cpu.packed import PackedLinear
torch.set_num_threads(2)
product, x = PackedLinear(torch.randn(640, 64)), torch.randn(3, 64)
expected = product(x)
child = os.fork()
if not child:
    os._exit(0 if torch.equal(product(x), expected) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=120, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_weight_that_is_exact_in_bfloat16_takes_half_the_bytes(monkeypatch):
    weight = torch.randn(96, 64).bfloat16().float()
    x = torch.randn(5, 64)
    products, sizes = [], []
    for faster in (False, True):
        monkeypatch.setattr("adaedl.models.cpu.backends.reads_bfloat16_faster", lambda faster=faster: faster)
        product = PackedLinear(weight)
        products.append(product(x))
        sizes.append(product.nbytes)
    assert torch.equal(*products)
    assert sizes[0] == 2 * sizes[1] == weight.numel() * 4
    inexact = weight.clone()
    inexact[-1, -1] += 2**-20  # this number is not exact in bfloat16
    assert PackedLinear(inexact).nbytes == sizes[0]
