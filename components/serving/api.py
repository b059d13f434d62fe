"""The page's named endpoints for gradio_client, curl and, if the host enables it, MCP: /pairs, /race, /sweep
(`api_sweep`) and /record (`api_record`)."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict

import gradio as gr

from adaedl.errors import UserError
from adaedl.pairs.presets import PRESETS
from components.parts.controls import defaults
from components.parts.settings import RaceSettings, read_seed, read_specs
from components.serving.api_docs import add_endpoint
from components.serving.api_record import record_endpoint
from components.serving.api_sweep import sweep_endpoint
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.settings.hosting import why_no_int8_pairs


def add_api(page: gr.Blocks, models: ModelsState) -> None:
    """Add the endpoints to the page, which is under construction."""
    default = defaults(models.default)

    def pairs() -> list[dict]:
        """List the pairs of a target and a draft model that a race can use.

        Returns:
            A list with one object per pair: "name"; "target" and "draft", the two models; "min_memory_gib",
                the memory it needs; "gated", whether the Hugging Face Hub gives its models only to accounts
                that were granted access; "description", one line; "lanes", its default lanes; "not_offered",
                why this server does not offer it (null if it does); "loaded", whether it is loaded now.
        """
        return describe_pairs(models)

    def race(
        prompt: str,
        lanes: str = ",".join(default.lanes),
        temperature: float = default.temperature,
        max_new_tokens: int = default.max_new_tokens,
        seed: int | str = default.seed,
        verification: str = default.verification,
        top_k: int = default.top_k,
        top_p: float = default.top_p,
        pair: str = default.pair,
        system: str = "",
        continuation: bool = False,
        request: gr.Request = None,
    ) -> Iterator[dict]:
        """Race several stopping rules of speculative decoding on one prompt and stream their progress.

        Args:
            prompt: The text that the models answer.
            lanes: The stopping rules to race, separated by commas. Settings follow a colon:
                autoregressive,fixed:k=4,adaedl:threshold=0.5.
            temperature: The sampling temperature; 0 means argmax.
            max_new_tokens: The most tokens that each lane writes.
            seed: The seed of the random numbers, from 0 to 2^63 − 1. Send a seed above 2^53 as text, because
                JSON numbers may be rounded. Under shared_noise the text depends only on prompt and seed.
            verification: The rule that accepts drafted tokens. shared_noise: all lanes write the same text.
                speculative: speculative sampling, where each lane draws its own text. Both sample exactly
                from the target's distribution.
            top_k: Sample only from the k most probable tokens; 0 means all.
            top_p: Sample only from the most probable tokens, up to this total probability; 1 means all.
            pair: The models: a name from /pairs, or two models from the Hugging Face Hub that share a
                tokenizer, as target:draft.
            system: The system prompt. If it is empty, the target's chat template decides.
            continuation: Whether the models continue the prompt as the start of a text, without a chat
                template, instead of answering it.

        Returns:
            A few times a second, an object {"state", "lanes": [{"label", "text", "metrics"}]}. "state" is
                waiting, racing or finished; "metrics" is null until there are some. While the race waits,
                "seconds_to_wait" estimates how long (null if unknown). The last object also has "trace", the
                whole race; save it as a JSON file to open it on the page.
        """
        session = Session(visitor=request.session_hash if request else None)
        try:
            settings = RaceSettings(
                prompt=prompt,
                pair=pair,
                lanes=read_specs(lanes),
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_new_tokens=max_new_tokens,
                seed=read_seed(seed),
                verification=verification,
                system=system,
                continuation=continuation,
            )
            with closing(play(models, settings, session)) as updates:
                for update in updates:
                    yield describe_race(session, update.ended)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    add_endpoint(pairs, "pairs")
    add_endpoint(race, "race")
    add_endpoint(sweep_endpoint(models, default.pair, page), "sweep")
    add_endpoint(record_endpoint(models, default), "record")


def describe_pairs(models: ModelsState) -> list[dict]:
    """Return the answer of /pairs."""
    loaded = models.pair.name if models.pair else None
    reason = why_no_int8_pairs()
    return [
        {
            "name": preset.name,
            "target": preset.target,
            "draft": preset.draft_name,
            "min_memory_gib": preset.min_memory_gib,
            "gated": preset.gated,
            "description": preset.description,
            "lanes": ",".join(preset.lanes),
            "not_offered": reason if preset.needs_int8 else None,
            "loaded": preset.name == loaded,
        }
        for preset in PRESETS.values()
    ]


def describe_race(session: Session, ended: bool) -> dict:
    """Return the race as /race yields it; the endpoint's docstring describes the format."""
    trace = session.trace
    if trace is None:
        return {"state": "waiting", "lanes": [], "seconds_to_wait": session.seconds_to_wait}
    lanes = [
        {"label": lane.label, "text": lane.text, "metrics": asdict(lane.metrics) if lane.metrics else None}
        for lane in trace.lanes
    ]
    if ended:
        return {"state": "finished", "lanes": lanes, "trace": trace.fitting().to_dict()}
    return {"state": "racing", "lanes": lanes}
