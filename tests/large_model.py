"""Measure the time and memory that loading a large model in int8 takes.

`python tests/large_model.py --json large-model.json` writes a model in the shape of SmolLM2-1.7B with random
bfloat16 weights and the default pair's tokenizer (3.4 GB), and loads it with `load_pair` as the target of a
pair that drafts with SmolLM2-135M. Each start is a new process: the first fills the cache of int8 weights,
and the others read it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from transformers import AutoConfig
from visitors import memory_mib, report

from adaedl.measure.forwards import machine
from adaedl.measure.shapes import SHAPES
from adaedl.models.cpu.layerwise import RandomSource, on_meta
from adaedl.pairs.loading import load_pair
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.pairs.sources.folder import TOKENIZER_FILES
from adaedl.pairs.weights import fetch_weights


def write_model(folder: Path, config: dict, tokenizer: Path) -> None:
    """Write a folder like `save_pretrained`, with its one file of weights written tensor by tensor."""
    config = AutoConfig.for_model(**config)
    source = RandomSource(on_meta(config))
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in source.shapes.items():
        start, end = end, end + 2 * shape.numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    header_bytes = json.dumps(header).encode()
    folder.mkdir(parents=True)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header_bytes).to_bytes(8, "little") + header_bytes)
        for name in source.shapes:
            file.write(source.read(name).bfloat16().view(torch.int16).flatten().numpy())
    config.save_pretrained(folder)
    for path in tokenizer.iterdir():
        if path.name in TOKENIZER_FILES or path.name.startswith(("tokenizer", "special_tokens", "chat_")):
            shutil.copy(path, folder)


def load_once(pair_name: str) -> dict:
    """Load a pair in this process; return the wall time and processor time in seconds, and the memory in
    MiB."""
    began, processor_began = time.perf_counter(), time.process_time()
    pair = load_pair(pair_name, device="cpu", dtype="int8")
    processor_s = time.process_time() - processor_began
    seconds = time.perf_counter() - began
    return {
        "load_s": round(seconds, 2),
        "processor_s": round(processor_s, 2),
        "memory_mib": memory_mib(os.getpid()),
        "machine": machine(pair),
    }


def load_in_new_process(pair_name: str, cache: Path) -> dict:
    command = [sys.executable, __file__, "--load", pair_name]
    environment = {**os.environ, "ADAEDL_CACHE": str(cache)}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="1.7b+135m", choices=SHAPES)
    parser.add_argument("--starts", type=int, default=3, help="with the cache (default 3)")
    parser.add_argument("--folder", type=Path, help="folder for the model (default: a temporary one)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load_once(options.load)))
        return
    draft = fetch_weights(PRESETS[DEFAULT_PAIR].target).folder
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "model"
        if not folder.exists():
            write_model(folder, SHAPES[options.shape].target, draft)
        cache = Path(temporary) / "cache"
        starts = []
        for _ in range(1 + options.starts):
            starts.append(load_in_new_process(f"{folder}:{draft}", cache))
            print(starts[-1], file=sys.stderr)
        cached_bytes = sum(file.stat().st_size for file in cache.rglob("*.safetensors"))
    first, *others = starts
    result = {
        "shape": options.shape,
        "machine": first["machine"],
        "kept_mb": round(cached_bytes / 1e6),
        "first_s": first["load_s"],
        "later_s": median(start["load_s"] for start in others),
        "peak_mib": {"first": first["memory_mib"], "later": others[-1]["memory_mib"]},
        "starts": [{name: start[name] for name in ("load_s", "processor_s")} for start in starts],
    }
    report(result, options.json)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
