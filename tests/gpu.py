"""Check the engine's GPU path on a GPU. This is not one of the tests, which need no GPU.

`python tests/gpu.py --json docs/gpu.json` compares the kernels with their definitions in torch and graphed
models with transformers. It checks that a row has the same bits whatever other rows are verified with it,
that the texts under every stopper are equal token for token, and that a race on a full memory fails with one
sentence. It exits with 1 if a check fails.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from toys import tiny_drafter_net, toy_pair  # noqa: E402

from adaedl.decoding import decode  # noqa: E402
from adaedl.errors import UserError  # noqa: E402
from adaedl.measure.shapes import QWEN_05B, SMOLLM2_135M, make_model  # noqa: E402
from adaedl.metrics import BASELINE  # noqa: E402
from adaedl.models.cuda import graphs as cuda  # noqa: E402
from adaedl.models.cuda.graphs import GRAPHED_ROWS, make_graphed  # noqa: E402
from adaedl.models.cuda.steps import RowPositions, TorchSteps  # noqa: E402
from adaedl.models.drafters.feature import FeatureDrafter  # noqa: E402
from adaedl.models.drafters.independent import IndependentDrafter  # noqa: E402
from adaedl.models.factory import make_runner  # noqa: E402
from adaedl.models.token_choice import make_read_draft  # noqa: E402
from adaedl.models.transformers import TransformersRunner  # noqa: E402
from adaedl.racing import new_trace, race  # noqa: E402
from adaedl.request import Sampling  # noqa: E402
from adaedl.stopping import LIVE_STOPPERS, make_stopper  # noqa: E402

ROWS = (1, 5, GRAPHED_ROWS)
# Query heads, key heads and head width, as in models from 135M to 14B weights.
HEADS = ((9, 3, 64), (14, 2, 64), (32, 32, 64), (28, 4, 128), (40, 8, 128))
PRODUCTS = ((576, 960), (896, 4864), (4864, 896), (3584, 3584), (5120, 1000), (1000, 40))
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.02}
TOKENS = 96


def scaled_difference(ours: Tensor, theirs: Tensor) -> float:
    return ((ours.float() - theirs.float()).norm() / theirs.float().norm()).item()


def check_kernels(device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, float]]:
    """Yield each step of a layer with its largest difference from the definition, over all shapes."""
    from adaedl.models.cuda.triton_layer import TritonSteps

    ours, theirs = TritonSteps(device), TorchSteps()
    random = partial(torch.randn, device=device, dtype=dtype)

    def attend(rows: int, heads: int, kv_heads: int, d: int, first: int) -> float:
        states, kept = random(rows, heads + 2 * kv_heads, d), random(512, 2 * kv_heads, d)
        at = RowPositions(torch.arange(first, first + rows, device=device), random(512, d), random(512, d))
        copies = kept, kept.clone()
        pairs = zip((ours, theirs), copies, strict=True)
        outputs = [steps.append_and_attend(states.clone(), at, kept) for steps, kept in pairs]
        return max(scaled_difference(*outputs), scaled_difference(*copies))

    yield "attend", max(attend(rows, *heads, first) for rows in ROWS for heads in HEADS for first in (0, 300))
    off = {"norm": 0.0, "product": 0.0, "gated": 0.0, "add_product": 0.0}
    for rows in ROWS:
        for columns, width in PRODUCTS:
            x, norm = random(rows, width), random(width)
            off["norm"] = max(
                off["norm"], scaled_difference(ours.norm(x, norm, 1e-6), theirs.norm(x, norm, 1e-6))
            )
            for bias in (None, random(columns)):
                weight = random(columns, width) / width**0.5
                for name in ("product", "gated"):
                    outputs = [getattr(steps, name)(x, weight, bias) for steps in (ours, theirs)]
                    off[name] = max(off[name], scaled_difference(*outputs))
                sums = [random(rows, columns)] * 2
                sums = [each.clone() for each in sums]
                for steps, each in zip((ours, theirs), sums, strict=True):
                    steps.add_product(each, x, weight, bias)
                off["add_product"] = max(off["add_product"], scaled_difference(*sums))
    yield from off.items()


def check_model(config: dict, device: torch.device, dtype: torch.dtype) -> dict:
    """Check a model with random weights: return the path that runs it, the difference of its logits from
    transformers', and whether a token's logits have the same bits alone and with other tokens."""
    model = make_model(config, device, dtype)
    runner = make_graphed(model)
    if runner is None:
        return {"path": "transformers"}
    off = cuda.difference(runner, TransformersRunner(model))
    cache = runner.new_cache(256)
    token_ids = torch.arange(100 + GRAPHED_ROWS, device=device)
    with torch.inference_mode():
        runner.forward(token_ids[:100], cache, "none")
        together = runner.forward(token_ids[100:], cache).logits
        same = []
        for at_once in (1, 3, 5, 8):
            cache.rewind(100)
            parts = [runner.forward(part, cache).logits for part in token_ids[100:].split(at_once)]
            same.append(torch.equal(torch.cat(parts), together))
    return {"path": runner.path, "difference": off, "same_bits": all(same)}


def peaked_model(config: dict, device: torch.device, dtype: torch.dtype):
    """Return a model with random weights for which some tokens are far more probable than others."""
    model = make_model({**config, "tie_word_embeddings": False}, device, dtype)
    model.get_output_embeddings().weight.mul_(8)
    return model


def pairs(device: torch.device, dtype: torch.dtype):
    """Yield a target with two drafters: a perturbed copy of the target, and a feature drafter."""
    model = peaked_model({**SMOLLM2_135M, "num_hidden_layers": 6, "vocab_size": 2000}, device, dtype)
    draft = copy.deepcopy(model)
    for weight in draft.parameters():
        weight.add_(0.1 * weight.std() * torch.randn_like(weight))
    target = make_runner(model)
    yield "independent", toy_pair(target, IndependentDrafter(make_runner(draft)))
    net = tiny_drafter_net(model, 1500, feature_layers=(0, 3, 6))
    vocab = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:1500]
    embeddings = model.get_input_embeddings().weight.detach()
    yield "feature", toy_pair(target, FeatureDrafter(net, vocab, target, embeddings))


def check_texts(pair, temperature: float) -> dict:
    """Compare the texts under every stopper with the autoregressive one; count the accepted drafts."""
    prompt_ids = torch.arange(60, device=pair.device) * 7
    specs = [name for name in LIVE_STOPPERS if name != BASELINE] + ["fixed:k=8"]

    def text(spec: str) -> tuple[list[int], int, int]:
        rounds = list(
            decode(pair, prompt_ids, make_stopper(spec), Sampling(temperature), max_new_tokens=TOKENS)
        )
        ids = [token for round_ in rounds for token in round_.token_ids]
        return ids, sum(len(round_.drafted) for round_ in rounds), sum(round_.accepted for round_ in rounds)

    alone, _, _ = text(BASELINE)
    runs = {spec: text(spec) for spec in specs}
    return {
        "texts": len(runs),
        "equal": sum(ids == alone for ids, _, _ in runs.values()),
        "drafted": sum(drafted for _, drafted, _ in runs.values()),
        "accepted": sum(accepted for _, _, accepted in runs.values()),
    }


def check_full_memory(pair) -> dict:
    """Race on a device with full memory; return the error, and whether the next race writes the same text."""
    prompt = " ".join(f"w{number}" for number in range(200))

    def run() -> str:
        trace = new_trace(pair, prompt, [BASELINE, "adaedl"], Sampling(0.7), max_new_tokens=48)
        list(race(pair, trace))
        return trace.lanes[1].text

    before = run()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(pair.device)
    filler = [torch.empty(free - 2**24, dtype=torch.uint8, device=pair.device)]
    pieces = []
    try:  # the rest of the memory in small pieces
        for size in (2**22, 2**20, 2**16, 2**12, 512):
            while True:
                pieces.append(torch.empty(size, dtype=torch.uint8, device=pair.device))
    except torch.OutOfMemoryError:
        pass
    try:
        run()
        sentence = ""
    except UserError as error:
        sentence = str(error)
    filler.clear(), pieces.clear()
    torch.cuda.empty_cache()
    return {"told": sentence, "next_race_is_the_same": run() == before}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here that torch can use.", file=sys.stderr)
        return 1
    device = torch.device("cuda:0")
    failures = []

    def expect(holds: bool, failure: str) -> None:
        if not holds:
            failures.append(failure)

    results = {
        "gpu": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "kernels": {},
        "models": {},
    }
    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        for step, off in check_kernels(device, dtype):
            results["kernels"][f"{step} {name}"] = off
            expect(off <= TOLERANCES[dtype], f"{step} in {name} is {off:.2g} off")
        for label, config in (("SmolLM2-135M", SMOLLM2_135M), ("Qwen2.5-0.5B", QWEN_05B)):
            checked = results["models"][f"{label} {name}"] = check_model(config, device, dtype)
            expect(checked.get("same_bits", False), f"{label} in {name}: {checked}")
    results["draft_kernel"] = make_read_draft(device) is not None
    expect(results["draft_kernel"], "the kernel that reads drafts is not used")
    results["texts"] = {}
    for kind, pair in pairs(device, torch.bfloat16):
        for read_draft in (None, make_read_draft(device)):
            pair.read_draft = read_draft
            for temperature in (0.0, 0.7):
                compared = check_texts(pair, temperature)
                results["texts"][f"{kind} T={temperature:g}{' kernel' if read_draft else ''}"] = compared
                expect(compared["equal"] == compared["texts"], f"{kind} at {temperature:g}: {compared}")
        results[f"full_memory {kind}"] = full = check_full_memory(pair)
        refused = "too little free memory" in full["told"]
        expect(refused and full["next_race_is_the_same"], f"full memory: {full}")
    results["wrong"] = failures
    text = json.dumps(results, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
