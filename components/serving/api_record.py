"""The endpoint /record: make a recording like the Explore page's, within the host's limits."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing

import gradio as gr

from adaedl.errors import UserError
from adaedl.stopping import STOPPERS
from components.parts.settings import RaceSettings, read_seed
from components.serving.models_state import ModelsState
from components.serving.recording_session import RecordingSession, make_recording


def record_endpoint(models: ModelsState, default: RaceSettings) -> Callable[..., Iterator[dict]]:
    """Return the function behind /record."""

    def record(
        prompt: str,
        temperature: float = default.temperature,
        max_new_tokens: int = default.max_new_tokens,
        seed: int | str = default.seed,
        verification: str = default.verification,
        score_temperature: float | None = None,
        top_k: int = default.top_k,
        top_p: float = default.top_p,
        pair: str = default.pair,
        system: str = "",
        continuation: bool = False,
        request: gr.Request = None,
    ) -> Iterator[dict]:
        """Record a text together with everything that the draft model would draft from each of its positions.

        On the recording, any stopping rule can be replayed without a model.

        Args:
            prompt: The text that the models answer.
            temperature: The sampling temperature; 0 means argmax.
            max_new_tokens: The most tokens of the recorded text.
            seed: The seed of the random numbers, from 0 to 2^63 − 1. Send a seed above 2^53 as text, because
                JSON numbers may be rounded.
            verification: The rule that accepts drafted tokens. shared_noise: a replay equals the real run.
                speculative: speculative sampling; replays have the distribution of real runs.
            score_temperature: The temperature of the draft distribution q that stopping rules judge; null
                means the sampling temperature, or 1 if that is 0.
            top_k: Sample only from the k most probable tokens; 0 means all.
            top_p: Sample only from the most probable tokens, up to this total probability; 1 means all.
            pair: The models: a name from /pairs, or two models from the Hugging Face Hub that share a
                tokenizer, as target:draft.
            system: The system prompt. If it is empty, the target's chat template decides.
            continuation: Whether the models continue the prompt as the start of a text, without a chat
                template, instead of answering it.

        Returns:
            A few times a second, an object {"state", "percent"}. "state" is waiting, recording or finished.
                The last object also has "recording"; save it as a JSON file to open it on the Explore page,
                or replay any stopping rule on it with adaedl.recordings.replay.
        """
        session = RecordingSession(visitor=request.session_hash if request else None)
        try:
            settings = RaceSettings(
                prompt=prompt,
                pair=pair,
                lanes=["autoregressive"],
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_new_tokens=max_new_tokens,
                seed=read_seed(seed),
                verification=verification,
                system=system,
                continuation=continuation,
            )
            STOPPERS["adaedl"](score_temperature=score_temperature)  # checks it
            with closing(make_recording(models, settings, session, score_temperature)) as updates:
                for words in updates:
                    yield describe_recording(session, words)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return record


def describe_recording(session: RecordingSession, words: str) -> dict:
    """Return the recording as /record yields it; `words` are the status line's."""
    status = json.loads(words)
    if session.recording:
        recording = json.loads(session.recording.to_json())
        return {"state": "finished", "percent": 100, "recording": recording}
    if status["key"] == "explore.status_recording":
        return {"state": "recording", "percent": status["values"]["percent"]}
    return {"state": "waiting", "percent": 0}
