"""The page's named endpoints for gradio_client, curl and, if the host enables it, MCP."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict

import gradio as gr

from adaedl.errors import UserError
from adaedl.pairs.presets import PRESETS
from adaedl.stopping import split_specs
from components.parts.controls import defaults
from components.parts.settings import RaceSettings, read_seed
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.settings.hosting import why_no_int8_pairs


def add_api(models: ModelsState) -> None:
    """Add /race and /pairs to the page under construction."""
    default = defaults(models.default)

    def pairs() -> list[dict]:
        """List the pairs of a target and a draft model that a race can name.

        Returns:
            For each pair: name, target, draft, memory needed in GiB, whether it is gated, a one-line
                description, its default lanes, why it is not offered here (null where it is), and whether it
                is loaded now.
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
        request: gr.Request = None,
    ) -> Iterator[dict]:
        """Race several stopping rules of speculative decoding on one prompt, streaming.

        Args:
            prompt: the text that the models answer.
            lanes: stoppers with their settings, such as autoregressive,fixed:k=4,adaedl:threshold=0.5.
            temperature: 0 is argmax.
            max_new_tokens: for each lane.
            seed: of the noise, a whole number from 0 to 2^63 − 1 or its digits as text; under shared_noise
                the text depends only on prompt and seed.
            verification: shared_noise (all lanes write the same text) or speculative; both are exact.
            top_k: 0 switches it off.
            top_p: 1 switches it off.
            pair: a name from /pairs, or two Hub models that share a tokenizer, target:draft.

        Returns:
            {"state", "lanes": [{"label", "text", "metrics"}]} a few times a second; state is waiting, racing
                or finished. While waiting there is also "seconds_to_wait", None until it is known. The last
                one has "trace": the whole race, which the page can open.
        """
        session = Session(visitor=request.session_hash if request else None)
        try:
            settings = RaceSettings(
                prompt=prompt,
                pair=pair,
                lanes=_specs(lanes),
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_new_tokens=max_new_tokens,
                seed=read_seed(seed),
                verification=verification,
            )
            with closing(play(models, settings, session)) as updates:
                for update in updates:
                    yield describe_race(session, update.ended)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    gr.api(pairs, api_name="pairs", concurrency_limit=None)
    gr.api(race, api_name="race", concurrency_limit=None)


def describe_pairs(models: ModelsState) -> list[dict]:
    """Return what /pairs answers."""
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


def _specs(lanes: object) -> list[str]:
    if not isinstance(lanes, str):
        raise UserError("lanes is {!r:.60}; it must be text, such as autoregressive,fixed:k=4.", lanes)
    return split_specs(lanes)


def describe_race(session: Session, ended: bool) -> dict:
    """Return what /race yields of a race; its docstring says what that is."""
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
