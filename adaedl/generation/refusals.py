"""Arguments that a call cannot honour: they are refused, never ignored."""

from __future__ import annotations

from torch import Tensor
from transformers import GenerationConfig

from adaedl.errors import Parameter, Sentence, UserError
from adaedl.generation.loop import Call
from adaedl.generation.reader import CACHE
from adaedl.models.layer_types import WINDOWS, cannot_rewind

BEAMS = Sentence("speculative decoding writes one text, by greedy decoding or sampling")
OTHER_METHOD = Sentence("it asks for another way of decoding")
SINGLE_TOKENS = Sentence("a pass of the model reads several tokens at once")
# Settings of a generation configuration that cannot be honoured: the values that switch them off, and why.
SETTINGS: dict[str, tuple[tuple, Sentence]] = {
    "num_beams": ((None, 1), BEAMS),
    "num_beam_groups": ((None, 1), BEAMS),
    "num_return_sequences": ((None, 1), BEAMS),
    "constraints": ((None,), BEAMS),
    "force_words_ids": ((None,), BEAMS),
    "penalty_alpha": ((0, None), OTHER_METHOD),
    "dola_layers": ((None,), OTHER_METHOD),
    "prompt_lookup_num_tokens": ((None,), OTHER_METHOD),
    "assistant_early_exit": ((None,), OTHER_METHOD),
    "use_mtp": ((None, False), OTHER_METHOD),
    "speculation_type": ((None,), OTHER_METHOD),
    "assistant_ensemble_weight": ((None,), Sentence("it changes what the target writes")),
    "guidance_scale": ((1, None), Sentence("it runs the target a second time for each token")),
    "use_cache": ((None, True), Sentence("both models need a cache")),
    "compile_config": ((None,), Sentence("the models run as they are")),
    "output_attentions": ((None, False), SINGLE_TOKENS),
    "output_hidden_states": ((None, False), SINGLE_TOKENS),
}
# The settings of transformers' own schedule, which a stopper replaces.
SCHEDULE = (
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "target_lookbehind",
)
KNOWN_INPUTS = {"attention_mask", "position_ids", "logits_to_keep", "use_cache", CACHE}
# Logits processors that keep state beyond the ids that they get.
STATEFUL = {"SynthIDTextWatermarkLogitsProcessor", "UnbatchedClassifierFreeGuidanceLogitsProcessor"}
# The vocabularies of one tokenizer differ by less: Qwen2.5's by 399 at most, Pythia's by 384.
MOST_PADDING = 1024


def check_call(model, call: Call, input_ids: Tensor, inputs: dict) -> None:
    """Raise UserError if a call asks for something that cannot be honoured.

    Args:
        inputs: the arguments of the model's forward besides the ids.
    """
    _check_config(call.config)
    _check_schedule(call.config, model.generation_config)
    _check_processors(call.processors)
    _check_inputs(input_ids, inputs, call.config)


def _check_config(config: GenerationConfig) -> None:
    for name, (off, reason) in SETTINGS.items():
        value = getattr(config, name, None)
        if value not in off:
            raise UserError("{} is {!r}, but {}; leave it at {!r}.", Parameter(name), value, reason, off[-1])


def _check_schedule(config: GenerationConfig, models: GenerationConfig) -> None:
    """Raise UserError if the call itself sets a schedule; `models` is the model's own configuration."""
    defaults = config._get_default_generation_params()
    for name in SCHEDULE:
        value = getattr(config, name, None)
        if value not in (None, defaults.get(name), getattr(models, name, None)):
            raise UserError(
                "{} is {!r}, but here a stopper decides how much is drafted; leave it out and give "
                "stopper='fixed:k=5' or another one.",
                Parameter(name),
                value,
            )


def _check_inputs(input_ids: Tensor, inputs: dict, config: GenerationConfig) -> None:
    """Raise UserError for a batch, embeddings, images, or a cache that does not belong to the ids."""
    if input_ids.shape[0] != 1:
        raise UserError(
            "The batch has {} texts; speculative decoding writes one, so call generate once for each.",
            input_ids.shape[0],
        )
    unknown = sorted(name for name, value in inputs.items() if value is not None and name not in KNOWN_INPUTS)
    if unknown:
        raise UserError(
            "{} was given, but both models read token ids alone; leave it out.", ", ".join(unknown)
        )
    positions = inputs.get("position_ids")
    if positions is not None and positions.dim() != 2:
        raise UserError(
            "position_ids has {} dimensions; speculative decoding needs one number per token, [1, T].",
            positions.dim(),
        )
    _check_cached(input_ids.shape[1], inputs, config)


def _check_cached(tokens: int, inputs: dict, config: GenerationConfig) -> None:
    cached = int(inputs[CACHE].get_seq_length()) if inputs.get(CACHE) is not None else 0
    mask = inputs.get("attention_mask")
    text = getattr(config, "_mask_length", tokens) if mask is None else mask.shape[1]
    if cached and (text != tokens or cached >= tokens):
        raise UserError(
            "The cache holds {} tokens and input_ids has {}; give all ids of the text, those in the cache "
            "included, because the assistant model reads them too.",
            cached,
            tokens,
        )


def check_model(model, role: str) -> None:
    """Raise UserError if a model's cache cannot be rewound; `role` names the model."""
    config = getattr(model, "config", None)
    if config is None:
        raise UserError("{} is {!r}; give a loaded model of transformers.", Parameter(role), model)
    if config.is_encoder_decoder:
        raise UserError(
            "{} is an encoder–decoder model ({}); choose a causal language model.",
            Parameter(role),
            config.model_type,
        )
    text = config.get_text_config()
    layer_types = set(getattr(text, "layer_types", None) or ())
    if getattr(model, "_is_stateful", False) or layer_types - {"full_attention", *WINDOWS.values()}:
        raise cannot_rewind(text.model_type, layer_types or ("state space",))


def check_assistant(model, assistant) -> None:
    """Raise UserError if the assistant model is missing, cannot be rewound, or clearly has another
    tokenizer."""
    if assistant is None:
        raise UserError(
            "{} is missing; give a smaller model with the same tokenizer, or stopper='autoregressive'.",
            Parameter("assistant_model"),
        )
    check_model(assistant, "assistant_model")
    sizes = [each.config.get_text_config().vocab_size for each in (model, assistant)]
    if abs(sizes[0] - sizes[1]) > MOST_PADDING:
        raise UserError(
            "The model's vocabulary has {:,} tokens and the assistant model's {:,}, so their tokenizers "
            "differ; choose an assistant model from the same family.",
            *sizes,
        )


def _check_processors(processors) -> None:
    """Raise UserError for a logits processor that keeps state beyond the ids that it gets."""
    for processor in processors:
        if type(processor).__name__ in STATEFUL:
            raise UserError(
                "{} remembers the tokens it was called with, and drafts may be rejected; leave it out.",
                type(processor).__name__,
            )
