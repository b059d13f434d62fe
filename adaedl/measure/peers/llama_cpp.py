"""llama.cpp's own generation on the same weights: an independent reference for `bench`, if llama-cpp-python
is installed.

Prompt lookup is the speculative decoding of llama-cpp-python. The weights are written as GGUF without a
tokenizer: tokens go in and tokens come out.
"""

import importlib.util
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from adaedl.errors import UserError
from adaedl.measure.peers import transformers as reference
from adaedl.measure.work import DecodingWork
from adaedl.models.cpu.families import can_pack, head_dim_of
from adaedl.models.rotary import pair_rotary_rows
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling

PACKAGE = "llama-cpp-python"
# llama.cpp's matrix format for each of our dtypes; its Q8_0 is int8 with one scale per 32 inputs.
FORMATS = {torch.float32: "F32", torch.int8: "Q8_0"}


def installed() -> str | None:
    """Return the version of llama-cpp-python, or None if it is not installed."""
    return version(PACKAGE) if importlib.util.find_spec("llama_cpp") else None


def can_write(model) -> bool:
    """Return whether llama.cpp computes the same with this transformers model after `write_gguf`."""
    config = model.config
    return (
        config.model_type in ("llama", "qwen2")
        and model.dtype == torch.float32
        and can_pack(model)
        and config.rope_parameters.get("rope_type", "default") == "default"
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "use_sliding_window", False)
    )


def write_gguf(model, path: Path, kind: str) -> None:
    """Write a transformers Llama or Qwen2 in float32 as GGUF, with its matrices in one of gguf's formats."""
    import gguf
    from gguf.quants import quantize

    config, head_dim = model.config, head_dim_of(model.config)
    arch = gguf.MODEL_ARCH[config.model_type.upper()]
    matrix_type, plain = gguf.GGMLQuantizationType[kind], gguf.GGMLQuantizationType.F32
    block = gguf.GGML_QUANT_SIZES[matrix_type][0]  # numbers that share a scale
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for key, weight in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if config.model_type == "llama" and (".q_proj." in key or ".k_proj." in key):
            weight = pair_rotary_rows(weight, head_dim)  # llama.cpp rotates neighbouring rows of a Llama
        stored = matrix_type if weight.dim() == 2 and weight.shape[1] % block == 0 else plain
        array = quantize(np.ascontiguousarray(weight.numpy()), stored)
        writer.add_tensor(names.get_name(key, (".weight", ".bias")), array, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A pair's target in llama.cpp, with its default settings and torch's number of threads."""

    def __init__(self, pair: Pair, target, capacity: int):
        """Load the target.

        Args:
            target: the pair's model from `peers.transformers.target_model`.
            capacity: the maximum number of tokens of a prompt and its answer together.

        Raises:
            UserError: the target's weights cannot be found, or llama.cpp does not load them.
        """
        self.eos_ids = pair.eos_ids
        if pair.dtype == torch.int8:  # llama.cpp quantises in its own way
            target = reference.target_model(pair, rounded=False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.gguf")
            write_gguf(target, path, FORMATS[pair.dtype])
            self.model = _load(path, capacity)

    def generate(
        self,
        prompt_ids: list[int],
        sampling: Sampling,
        *,
        max_new_tokens: int,
        seed: int = 0,
        lookup: bool = False,
        drafts: int | None = None,
    ) -> tuple[list[int], DecodingWork]:
        """Return the text of llama.cpp after a prompt, and the work of decoding it. The clock starts with the
        first token, as in `reference.generate`.

        Args:
            lookup: draft by prompt lookup, `drafts` tokens per round (None: the default of llama.cpp).
        """
        from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

        work = DecodingWork(forward_s=None)
        find = LlamaPromptLookupDecoding(**({"num_pred_tokens": drafts} if drafts else {}))

        def draft(token_ids: np.ndarray, **_) -> np.ndarray:
            drafted = find(token_ids) if lookup else token_ids[:0]
            work.rounds += 1
            work.drafted += len(drafted)
            return drafted

        self.model.set_seed(seed)
        self.model.draft_model = draft
        warping = {"temp": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
        new_ids: list[int] = []
        start = end = 0.0
        for token in self.model.generate(prompt_ids, **warping, min_p=0.0):
            end = time.perf_counter()
            start = start or end
            new_ids.append(token)
            if token in self.eos_ids or len(new_ids) == max_new_tokens:
                break
        work.seconds, work.tokens = end - start, len(new_ids) - 1
        work.accepted = work.tokens - work.rounds
        return new_ids, work


def _load(path: Path, capacity: int):
    threads = torch.get_num_threads()
    try:
        import llama_cpp

        return llama_cpp.Llama(
            str(path),
            n_ctx=capacity,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,  # drafting needs them
            use_mmap=False,  # so that the file can be deleted
            verbose=False,
        )
    except Exception as error:  # a C++ library can raise anything
        raise UserError(
            "{} {} does not run here ({}); install another version, or uninstall it to measure without it.",
            PACKAGE,
            installed(),
            error,
        ) from error
