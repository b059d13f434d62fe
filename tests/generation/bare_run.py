"""Run a folder's custom_generate with transformers, torch, their dependencies and nothing else.

    python -I bare_run.py FOLDER

Every other package is hidden, as if it were not installed. Prints a report as JSON.
"""

import importlib.util
import json
import sys
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires


def needed(names: list[str]) -> set[str]:
    """Return the distributions that these need, themselves included."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    while names:
        name = names.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another platform
            continue
        names += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


ALLOWED = needed(["transformers", "torch"])
HIDDEN = {
    package
    for package, owners in packages_distributions().items()
    if not {owner.lower().replace("_", "-") for owner in owners} & ALLOWED
} | {"adaedl", "components"}


class Bare(PathFinder):
    """A finder that finds none of the hidden packages."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)


sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]

import torch  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402


def tiny(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, max_position_embeddings=64, **sizes, **ends))
    return model.eval().requires_grad_(False)


def main(folder: str) -> None:
    torch.set_num_threads(1)
    target, draft, prompt = tiny(0), tiny(1), torch.tensor([[3, 1, 4, 1, 5]])
    given = {
        "assistant_model": draft,
        "custom_generate": folder,
        "trust_remote_code": True,
        "revision": "main",
    }
    plain = target.generate(prompt, max_new_tokens=20, do_sample=False)
    texts = {
        spec: target.generate(prompt, stopper=spec, max_new_tokens=20, **given).tolist()
        for spec in ("adaedl", "adaedl:threshold=0.1,gamma=0.3", "fixed:k=3", "throughput", "profile")
    }
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
    sampled = target.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=20,
        return_dict_in_generate=True,
        **sampling,
        **given,
    )
    try:
        target.generate(prompt, num_beams=2, **given)
        refusal = ""
    except ValueError as error:
        refusal = str(error)
    loaded = sys.modules[next(name for name in sys.modules if name.endswith("custom_generate.generate"))]
    report = {
        "plain": plain.tolist(),
        "texts": texts,
        "rounds": [round_.tokens for round_ in sampled.rounds],
        "refusal": refusal,
        "stoppers": list(loaded.STOPPERS),
        "numba": importlib.util.find_spec("numba") is not None,
        "strangers": sorted({name.partition(".")[0] for name in sys.modules} & HIDDEN),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
