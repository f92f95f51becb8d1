"""Speech, transcriptions and translations."""

import base64
from collections.abc import Iterator

from tests.upstream_wire import Answer, Ask, Behaviour, Json, Piece, refused, texts_of, typed, whole

TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
PLAIN = "text/plain; charset=utf-8"


def speech(ask: Ask, behaviour: Behaviour) -> Answer:
    """Every word as bytes that no text has, in pieces; as events where asked."""
    said = ask.body.get("response_format") or "mp3"
    if said not in TYPES or not ask.body.get("input") or not ask.body.get("voice"):
        return refused(400, "input, voice and a known response_format are required")
    pieces = [sound(text) for text in texts_of(behaviour)]
    if ask.body.get("stream_format") == "sse":
        count = len(pieces)
        usage = {"input_tokens": behaviour.prompt_tokens, "output_tokens": count}
        usage["total_tokens"] = sum(usage.values())
        return typed(_spoken(pieces, usage), behaviour, usage)
    kind = behaviour.content_type or TYPES[said]
    made = [Piece(piece, 1) for piece in pieces]
    return Answer(behaviour.status, [("content-type", kind)], made, chunked=True)


def sound(text: str) -> bytes:
    """The audio of this text: bytes that are no UTF-8, and HTTP's own line ends."""
    return b"\xff\xfb\x00\r\n\r\n" + text.encode() + b"\x00\xfe"


def _spoken(pieces: list[bytes], usage: Json) -> Iterator[tuple[Json, int]]:
    for piece in pieces:
        yield {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}, 1
    yield {"type": "speech.audio.done", "usage": usage}, 0


def heard(ask: Ask, behaviour: Behaviour) -> Answer:
    """A transcription or translation, in the format that the form asks for."""
    file = next((part for part in ask.parts if part.name == "file"), None)
    if file is None or file.filename is None:
        return refused(400, "a file is required", param="file")
    if not file.data:
        return refused(400, "The file is empty.", param="file")
    text = "".join(texts_of(behaviour)).strip()
    usage = {"type": "tokens", "input_tokens": behaviour.prompt_tokens, "output_tokens": behaviour.tokens}
    usage["total_tokens"] = behaviour.prompt_tokens + behaviour.tokens
    match ask.body.get("response_format", "json"):
        case _ if ask.stream:
            return typed(_heard(behaviour, text, usage), behaviour, usage)
        case "json":
            return whole({"text": text, "usage": usage}, behaviour, usage, behaviour.tokens)
        case "verbose_json":
            return whole(_verbose(ask, text), behaviour, None)
        case "text":
            return _plain(behaviour, text + "\n")
        case "srt":
            return _plain(behaviour, f"1\n00:00:00,000 --> 00:00:02,500\n{text}\n\n\n")
        case "vtt":
            return _plain(behaviour, f"WEBVTT\n\n00:00:00.000 --> 00:00:02.500\n{text}\n\n")
    return refused(400, "unknown response_format", param="response_format")


def _plain(behaviour: Behaviour, text: str) -> Answer:
    kind = behaviour.content_type or PLAIN
    return Answer(behaviour.status, [("content-type", kind)], [Piece(text.encode(), behaviour.tokens)])


def _verbose(ask: Ask, text: str) -> Json:
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 2.5, "text": text, "tokens": [1, 2]}
    segment |= {"temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.01}
    task = "translate" if ask.endpoint == "audio/translations" else "transcribe"
    body: Json = {"task": task, "language": "english", "duration": 2.5, "text": text, "segments": [segment]}
    return body | {"usage": {"type": "duration", "seconds": 3}}


def _heard(behaviour: Behaviour, text: str, usage: Json) -> Iterator[tuple[Json, int]]:
    for delta in texts_of(behaviour):
        yield {"type": "transcript.text.delta", "delta": delta}, 1
    if behaviour.finish is not None:
        yield {"type": "transcript.text.done", "text": text, "usage": usage}, 0
