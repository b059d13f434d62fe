"""Make a recording for the page or the API: wait for the device, load the pair, record, and report
progress."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from adaedl.recordings.recording import Recording
from components.parts.messages import say
from components.parts.settings import RaceSettings
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, wait_for_pair
from components.serving.recording_execution import recorded_parts


@dataclass
class RecordingSession(Session):
    """One visitor's recording, and whether a stop was requested."""

    recording: Recording | None = None


def make_recording(
    models: ModelsState,
    settings: RaceSettings,
    session: RecordingSession,
    score_temperature: float | None = None,
) -> Iterator[str]:
    """Record into `session.recording`; yield words for the status line. Close the generator to free the
    device.

    Raises:
        UserError: the settings are invalid, or the pair cannot be loaded.
    """
    request = settings.check()
    session.recording = None
    # The target writes the text twice; drafting from every position takes about as long as writing it once.
    turn = models.take_turn(work=3 * settings.max_new_tokens, visitor=session.visitor or id(session))
    try:
        pair = yield from wait_for_pair(models, turn, settings.pair, lambda: session.stop_requested)
        if pair is None:
            yield say("explore.status_stopped")
            return
        where = pair.runs_on
        yield say("explore.status_recording", device=where, percent=0)
        with closing(recorded_parts(models, pair, request, score_temperature, session.quota)) as parts:
            for part in parts:
                if isinstance(part, Recording):
                    session.recording = part
                elif session.stop_requested:
                    yield say("explore.status_stopped")
                    return
                else:
                    yield say("explore.status_recording", device=where, percent=round(100 * part))
        ratio = f"{session.recording.recording_s / session.recording.plain_s:.1f}"
        count = len(session.recording.token_ids)
        yield say("explore.status_recorded", device=where, tokens=count, ratio=ratio)
    finally:
        turn.leave()
