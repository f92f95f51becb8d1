"""A journal outlives the version that wrote it: an upgrade, or a step back, reads what the other left."""

from uuid import UUID
from zlib import crc32

import msgspec

from tests.usage.rows import asked
from usage.frames import _HEADER, decode, encode
from usage.records import Settled, Started, interrupted

# As the first version wrote them, before records had a task, more kinds of tokens, an anomaly and a price.
STARTED = bytes.fromhex(
    "7d0000000c77e15c9fa773746172746564d92430313961343962302d303030302d373030302d383030302d303030303030303030303031"
    "a57265712d31cf0000019a4996a200a5616c696365a869642d616c696365a772656164657273a3626f62a36c6c6da56c6c6d2d61a56c6f"
    "63616cb0636861742f636f6d706c6574696f6e73c30703"
)
SETTLED = bytes.fromhex(
    "9200000048ae8e28dc001ba7736574746c6564d92430313961343962302d303030302d373030302d383030302d30303030303030303030"
    "3031a57265712d31cf0000019a4996a200a5616c696365a869642d616c696365a772656164657273a3626f62a36c6c6da56c6c6d2d61a5"
    "6c6f63616cb0636861742f636f6d706c6574696f6e73c303a26f6ba475702d31ccc8a00c05040363c3c20828"
)
WHO = {
    "attempt_id": UUID("019a49b0-0000-7000-8000-000000000001"),
    "request_id": "req-1",
    "started_at": 1_762_171_200_000,
    "key": "alice",
    "key_id": "id-alice",
    "team": "readers",
    "end_user": "bob",
    "model": "llm",
    "deployment": "llm-a",
    "provider": "local",
    "endpoint": "chat/completions",
    "stream": True,
    "config_version": 3,
}
THEN = Started(**WHO, prompt_estimate=7)  # type: ignore[arg-type]
ENDED = Settled(
    **WHO,  # type: ignore[arg-type]
    status="ok",
    upstream_request_id="up-1",
    http_status=200,
    prompt_tokens=12,
    completion_tokens=5,
    cached_tokens=4,
    reasoning_tokens=3,
    cost_nano=99,
    priced=True,
    ttft_ms=8,
    latency_ms=40,
)


def test_frames_of_the_first_version_are_read() -> None:
    assert decode(STARTED + SETTLED, final=True).records == [THEN, ENDED]


def test_frames_of_the_first_version_are_found_behind_damage() -> None:
    found = decode(b"\xff" * 20 + STARTED + b"\xff" * 20 + SETTLED, final=True)
    assert (found.records, found.damaged) == ([THEN, ENDED], True)


def test_what_they_do_not_say_is_nothing() -> None:
    row = decode(SETTLED, final=True).records[0]
    assert isinstance(row, Settled)
    assert (row.task, row.anomaly, row.price_id, row.images, row.cache_write_tokens) == ("", "", None, 0, 0)
    assert (row.attempt_number, row.chat_id) == (1, None)


def test_an_attempt_of_the_first_version_that_nobody_ended_has_no_output() -> None:
    started = decode(STARTED, final=True).records[0]
    assert isinstance(started, Started)
    row = interrupted(started)
    assert (row.prompt_tokens, row.completion_tokens, row.attempt_number) == (7, 0, 1)


def test_a_frame_of_a_later_version_with_more_fields_is_read_too() -> None:
    row = asked("alice").settled(task="summary")
    values = [*msgspec.msgpack.decode(encode(row)[_HEADER.size :]), "of tomorrow", 5]
    payload = msgspec.msgpack.encode(values)
    frame = _HEADER.pack(len(payload), crc32(payload)) + payload
    assert decode(frame, final=True).records == [row]


def test_an_interrupted_attempt_keeps_its_task() -> None:
    assert interrupted(asked("alice", task="summary").started()).task == "summary"


def test_an_interrupted_attempt_keeps_its_chat() -> None:
    started = msgspec.structs.replace(asked("alice").started(), chat_id="chat-1")
    assert interrupted(started).chat_id == "chat-1"


def test_an_interrupted_attempt_keeps_why_it_was_made() -> None:
    started = msgspec.structs.replace(
        asked("alice").started(), upstream_model="gpt-4o", decision='["weighted",[]]'
    )
    row = interrupted(started)
    assert (row.upstream_model, row.decision) == ("gpt-4o", '["weighted",[]]')
