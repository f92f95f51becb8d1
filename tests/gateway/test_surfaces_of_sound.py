"""What speech and transcriptions use, which nobody counts in tokens."""

import json
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import calls
from gateway.answers import NEVER_TOLD, Usage, seconds_heard
from gateway.calls import Beside
from gateway.surfaces.sound import SPEECH, TRANSCRIPTIONS


@pytest.mark.parametrize(("told", "seconds"), [(9, 9), (8.47, 9), (9.0, 9), (0.01, 1), (10**12, 10**12)])
def test_the_last_second_counts_whole(told: float, seconds: int) -> None:
    assert seconds_heard(told) == seconds


@pytest.mark.parametrize("told", [0, -1, nan, inf, 10**13, True, "9", None, []])
def test_what_is_no_time_counts_not_at_all(told: object) -> None:
    assert seconds_heard(told) == 0


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({"usage": {"type": "duration", "seconds": 9}}, Usage(seconds=9)),
        ({"duration": 8.47}, Usage(seconds=9)),
        ({"usage": {"type": "duration", "seconds": 9}, "duration": 8.1}, Usage(seconds=9)),
        ({"usage": {"type": "duration", "seconds": "long"}}, NEVER_TOLD),
        ({"usage": 5}, NEVER_TOLD),
        ({}, NEVER_TOLD),
    ],
)
def test_a_transcription_tells_its_seconds(more: dict[str, object], usage: Usage) -> None:
    assert TRANSCRIPTIONS.judge(json.dumps({"text": "Hi"} | more).encode()).usage == usage


def test_what_is_counted_in_tokens_is_not_counted_in_seconds() -> None:
    told = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    body = json.dumps({"text": "Hi", "usage": told, "duration": 8.4}).encode()
    assert TRANSCRIPTIONS.judge(body).usage == Usage(14, 3)


@given(st.text(max_size=50))
def test_the_characters_of_speech_are_those_of_its_input(text: str) -> None:
    body = json.dumps({"model": "tts", "input": text, "voice": "alloy", "instructions": "Slowly."})
    assert calls.read(body.encode(), SPEECH.reading).beside == Beside(characters=len(text))


@pytest.mark.parametrize("given", [5, None, ["a"], {}])
def test_an_input_that_is_no_text_has_none(given: object) -> None:
    body = json.dumps({"model": "tts", "input": given}).encode()
    assert calls.read(body, SPEECH.reading).beside == Beside()


def test_sound_is_guessed_from_its_bytes() -> None:
    call = calls.of_form({"model": "whisper"}, TRANSCRIPTIONS.reading, 160_001)
    assert call.beside == Beside(seconds=11, most_seconds=161)
