"""Check which of transformers' causal language models run here, and whether they are right.

    python tests/families.py [FAMILY …]

Builds a tiny random model of every family and prints one line for each: `right`, `refused` with the sentence,
`wrong`, `crashed`, or `not built` if no tiny model could be built. A model is right if reading a text in
parts, with rejected drafts in between, gives the same logits as reading it whole, up to the end of its
context, and if it writes the same text as transformers' generate. Exits with 1 if a model is wrong or
crashed.
"""

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toys import toy_pair

from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.models.context_length import LENGTHS
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.factory import make_runner
from adaedl.models.protocol import prefill
from adaedl.request import Sampling
from adaedl.stopping import make_stopper

CONTEXT = 48  # tokens, several times WINDOW
WINDOW = 8
MOST_WEIGHTS = 150e6
SMALL = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size", "emb_dim", "dim"), 32),
    **dict.fromkeys(("attention_hidden_size", "moe_intermediate_size"), 32),
    "shared_expert_intermediate_size": 32,
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("encoder_layers", "num_encoder_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_decoder_attention_heads", "num_encoder_attention_heads"), 4),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "ffn_hidden_size", "d_inner", "dim_ff"), 64),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 64),
    **dict.fromkeys(("head_dim", "rotary_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("n_group", "topk_group", "bos_token_id", "n_langs"), 1),
    **dict.fromkeys(LENGTHS, CONTEXT),
    **dict.fromkeys(("sliding_window", "window_size", "attention_chunk_size", "index_topk"), WINDOW),
    "vocab_size": 300,
    "pad_token_id": 0,
    "eos_token_id": 2,
}


# Tried in turn for a family without settings below.
VARIANTS = (
    {},
    {"num_key_value_heads": 4},  # latent attention has as many key heads as query heads
    {"num_hidden_layers": 4},  # the fourth layer of a hybrid is often its first with attention
    {"num_hidden_layers": 4, "num_key_value_heads": 4},
)
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_expand": 2}
SETTINGS = {
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": MAMBA | {"layer_types": ["mamba", "attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1},
    "phi3": {
        "original_max_position_embeddings": 24,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [2.0, 3.0, 4.0, 5.0],
            "original_max_position_embeddings": 24,
        },
    },
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "xlstm": {"num_heads": 2, "chunk_size": 8},
    "xmod": {"default_language": "en_XX"},
}


VERDICTS = ("right", "refused", "wrong", "crashed", "not built")


class NotBuilt(Exception):
    """No tiny model of a family could be built."""


class Verdict(NamedTuple):
    """The verdict on a model: `name` is one of VERDICTS, and `words` give details."""

    name: str
    words: str


def tiny_model(family: str, **settings):
    """Return a random model of a family, with weights large enough for every token to matter.

    Raises:
        NotBuilt: transformers cannot build one of this size.
    """
    error = None
    for changes in (SETTINGS.get(family, {}) | settings,) if family in SETTINGS or settings else VARIANTS:
        try:
            return _tiny_model(family, changes)
        except NotBuilt as failed:
            error = error or failed
    raise error


def _tiny_model(family: str, changes: dict):
    try:
        config = AutoConfig.for_model(family)
        text = config.get_text_config()
        names = {*text.to_dict(), *getattr(text, "attribute_map", {})}
        small = {name: value for name, value in SMALL.items() if name in names} | changes
        if text is config:
            config = type(config)(**small)
        else:
            for name, value in small.items():
                setattr(text, name, value)
        with torch.device("meta"):
            weights = sum(part.numel() for part in AutoModelForCausalLM.from_config(config).parameters())
        if weights > MOST_WEIGHTS:
            raise NotBuilt(f"{weights / 1e6:.0f} million weights")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        for part in model.parameters():
            if part.dim() > 1 and part.dtype.is_floating_point:
                part.normal_(std=0.15)
        whole_logits(model, torch.arange(3, 3 + 2 * WINDOW))
    except NotBuilt:
        raise
    except Exception as error:  # some configurations have their own constraints on sizes
        raise NotBuilt(first_line(error)) from error
    return model


@torch.inference_mode()
def whole_logits(model, token_ids: torch.Tensor) -> torch.Tensor:
    """Return the logits [T, V] of a text [T] from one forward without a cache."""
    has_cache = "use_cache" in inspect.signature(model.forward).parameters
    return model(token_ids[None], **({"use_cache": False} if has_cache else {})).logits[0]


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def judge(model) -> Verdict:
    """Return the verdict on a model."""
    try:
        runner = make_runner(model)
    except UserError as error:
        return Verdict("refused", str(error))
    except Exception as error:
        return Verdict("crashed", first_line(error))
    try:
        off = distance_in_parts(runner, model)
        if off > 1e-3:
            return Verdict("wrong", f"logits in parts are {off:.2g} off")
        ours, theirs = texts(runner, model)
        if ours != theirs:
            return Verdict("wrong", f"writes {ours}, generate {theirs}")
    except Exception as error:
        return Verdict("crashed", first_line(error))
    return Verdict("right", f"{runner.path}, up to {runner.max_context} tokens")


@torch.inference_mode()
def distance_in_parts(runner, model) -> float:
    """Return the largest difference between the logits of a text read in parts and of the text read whole, in
    units of their standard deviation."""
    count = min(runner.max_context, CONTEXT)
    ids = torch.randint(3, runner.vocab_size, (count,), generator=torch.Generator().manual_seed(1))
    whole = whole_logits(model, ids)
    cache = runner.new_cache(count)
    prefill(runner, ids[:11], cache)
    read = []
    for first in range(11, count, 3):
        if first + 5 <= count:
            runner.forward(ids[:5], cache)  # drafts that are rejected
            cache.rewind(first)
        cache = cache.copy()
        read.append(runner.forward(ids[first : first + 3], cache).logits)
    read = torch.cat(read)
    return ((read - whole[11:]).abs().max() / whole.std()).item()


def texts(runner, model) -> tuple[list[int], list[int]]:
    """Return what fixed:k=4 and transformers' generate write at temperature 0, up to the end of the
    context."""
    prompt = torch.arange(5, 10)
    count = min(runner.max_context, CONTEXT) - len(prompt)
    plain = {"eos_token_id": None, "forced_eos_token_id": None, "pad_token_id": 0}
    theirs = model.generate(prompt[None], max_new_tokens=count, do_sample=False, **plain)[0, len(prompt) :]
    pair = toy_pair(runner, IndependentDrafter(runner))
    rounds = decode(pair, prompt, make_stopper("fixed:k=4"), Sampling(0), max_new_tokens=count)
    return [token for round_ in rounds for token in round_.token_ids], theirs.tolist()


def all_families() -> Iterator[str]:
    yield from sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def main() -> int:
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    counts = Counter()
    for family in sys.argv[1:] or all_families():
        try:
            verdict = judge(tiny_model(family))
        except NotBuilt as error:
            verdict = Verdict("not built", str(error))
        counts[verdict.name] += 1
        print(f"{family:28} {verdict.name:10} {verdict.words}", flush=True)
    print(", ".join(f"{name} {counts[name]}" for name in VERDICTS))
    return 1 if counts["wrong"] or counts["crashed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
