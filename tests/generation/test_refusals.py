"""Arguments that generate cannot honour are refused in one sentence, before a token is written."""

import pytest
import torch
from small_pairs import PROMPT, adaptive, disturbed, small_pair
from toys import tiny_llama, toy_tokenizer
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MambaConfig,
    MambaForCausalLM,
    SynthIDTextWatermarkLogitsProcessor,
    T5Config,
    T5ForConditionalGeneration,
)

from adaedl.errors import UserError
from adaedl.generation import generate


@pytest.fixture(scope="module")
def pair():
    return small_pair("llama")


SETTINGS = {
    "num_beams": 2,
    "penalty_alpha": 0.6,
    "dola_layers": "high",
    "prompt_lookup_num_tokens": 3,
    "assistant_early_exit": 1,
    "use_mtp": True,
    "assistant_ensemble_weight": 0.5,
    "guidance_scale": 1.5,
    "num_assistant_tokens": 5,
    "num_assistant_tokens_schedule": "heuristic",
    "assistant_confidence_threshold": 0.2,
    "use_cache": False,
    "output_attentions": True,
    "output_hidden_states": True,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_be_honoured_is_refused_by_name(pair, name):
    with pytest.raises(UserError, match=f"^{name} is .*(leave it|leave it out).*\\.$"):
        adaptive(*pair, **{name: SETTINGS[name]})


def test_a_schedule_in_the_models_own_config_is_accepted(pair):
    target, draft = small_pair("llama")
    target.generation_config.num_assistant_tokens = 7
    assert adaptive(target, draft, max_new_tokens=2).sequences.shape[1] == PROMPT.shape[1] + 2


def test_a_batch_is_refused(pair):
    with pytest.raises(ValueError, match=r"num_return_sequences"):  # by transformers itself
        adaptive(*pair, num_return_sequences=2, do_sample=True)
    with pytest.raises(UserError, match=r"The batch has 3 texts; .* call generate once for each"):
        adaptive(*pair, PROMPT.expand(3, -1))


def test_embeddings_and_positions_in_three_dimensions_are_refused(pair):
    target, draft = pair
    with pytest.raises(UserError, match=r"inputs_embeds was given"):
        adaptive(target, draft, inputs_embeds=target.get_input_embeddings()(PROMPT))
    positions = torch.arange(PROMPT.shape[1]).expand(3, 1, -1)
    with pytest.raises(UserError, match=r"position_ids has 3 dimensions"):
        adaptive(target, draft, position_ids=positions)


def test_a_missing_assistant_model_is_refused(pair):
    with pytest.raises(UserError, match=r"^assistant_model is missing; give a smaller model"):
        adaptive(pair[0], None)
    with pytest.raises(UserError, match=r"^assistant_model is 'some/model'; give a loaded model"):
        adaptive(pair[0], "some/model")
    with pytest.raises(UserError, match=r"^model is 'some/model'; give a loaded model"):
        generate("some/model", PROMPT)


def test_models_that_cannot_be_rewound_are_refused(pair):
    target, draft = pair
    mamba = MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=8, num_hidden_layers=1, state_size=2))
    with pytest.raises(UserError, match=r"mamba has a cache that cannot be rewound"):
        adaptive(target, mamba)
    with pytest.raises(ValueError, match=r"not supported with stateful models"):  # by transformers itself
        adaptive(mamba, draft, pad_token_id=0)


def test_models_with_an_encoder_are_refused(pair):
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
    )
    with pytest.raises(UserError, match=r"^assistant_model is an encoder–decoder model"):
        adaptive(pair[0], t5)
    with pytest.raises(UserError, match=r"^model is an encoder–decoder model"):
        adaptive(t5, pair[1])


def test_other_tokenizers_are_refused(pair):
    target, _ = pair
    with pytest.raises(UserError, match=r"vocabulary has 32 tokens and the assistant model's 2,000"):
        adaptive(target, tiny_llama(vocab_size=2000))
    tokenizers = {"tokenizer": toy_tokenizer(32), "assistant_tokenizer": toy_tokenizer(30)}
    with pytest.raises(UserError, match=r"These two models have different tokenizers"):
        adaptive(*pair, **tokenizers)


def test_stoppers_that_do_not_exist_or_cannot_run_are_refused(pair):
    with pytest.raises(UserError, match=r"There is no stopper 'adadel'.* Did you mean adaedl"):
        adaptive(*pair, stopper="adadel")
    with pytest.raises(UserError, match=r"oracle knows what the target will accept"):
        adaptive(*pair, stopper="oracle")
    with pytest.raises(UserError, match=r"^stopper is 5; give a spec such as"):
        adaptive(*pair, stopper=5)


def test_an_unsupported_version_of_transformers_is_refused_and_does_not_recurse(pair):
    prepared = GenerationConfig()
    prepared._eos_token_tensor = None
    with pytest.raises(UserError, match=r"^generate in transformers \S+ does not pass on its arguments"):
        generate(pair[0], PROMPT, generation_config=prepared, assistant_model=pair[1])


def test_synchronised_processes_are_refused(pair):
    with pytest.raises(UserError, match=r"^synced_gpus is True"):
        adaptive(*pair, synced_gpus=True)


def test_a_static_cache_with_a_window_is_refused():
    with pytest.raises(UserError, match=r"cannot be rewound .StaticSlidingWindowLayer."):
        adaptive(*small_pair("gemma3"), cache_implementation="static")


def test_a_cache_of_another_text_is_refused(pair):
    target, draft = pair
    cache = DynamicCache(config=target.config)
    target(PROMPT, past_key_values=cache)
    with pytest.raises(UserError, match=r"The cache holds 7 tokens and input_ids has 7"):
        adaptive(target, draft, past_key_values=cache)


def test_stateful_processors_are_refused(pair):
    remembering = SynthIDTextWatermarkLogitsProcessor(5, [1, 2], 16, 16, 0, torch.device("cpu"))
    with pytest.raises(UserError, match=r"^SynthIDTextWatermarkLogitsProcessor remembers the tokens"):
        adaptive(*pair, logits_processor=LogitsProcessorList([remembering]))


class Undefined(LogitsProcessor):
    def __call__(self, input_ids, scores):
        return scores * float("nan")


def test_nan_logits_are_reported(pair):
    target, draft = pair
    broken = disturbed(target)
    broken.lm_head.weight[:] = float("nan")
    for sampling in ({}, {"do_sample": True}):
        with pytest.raises(UserError, match=r"^The assistant model gives logits that are not numbers"):
            adaptive(target, broken, **sampling)
        with pytest.raises(UserError, match=r"^The model gives logits that are not numbers"):
            adaptive(broken, draft, **sampling)
