"""Whose a request is and in which conversation, as coding agents and chat programs say it."""

import json

import pytest

from gateway.calls import read
from gateway.messages import Inbound
from gateway.surfaces.messages import MESSAGES

UUID = "0199c3a4-5f6b-7a00-9c11-2a3b4c5d6e7f"
DEVICE = "02f71b78281ec1d172d6a6da071d1908b08982b0c9ac36638d6a428c46c11251"


def end_user(user_id: object) -> str:
    body = {"model": "m", "max_tokens": 1, "messages": [], "metadata": {"user_id": user_id}}
    return read(json.dumps(body).encode(), MESSAGES.reading).end_user


@pytest.mark.parametrize(
    ("user_id", "name"),
    [
        ("alice", "alice"),
        (json.dumps({"device_id": DEVICE, "account_uuid": UUID, "session_id": "a"}), UUID),
        (json.dumps({"device_id": DEVICE, "account_uuid": "", "session_id": "a"}), DEVICE),
        (f"user_{DEVICE}_account_{UUID}_session_{UUID}", f"user_{DEVICE}_account_{UUID}"),
        (f"user_{DEVICE}_account__session_{UUID}", f"user_{DEVICE}_account_"),
        ('{"session_id":"a"}', '{"session_id":"a"}'),
        ('{"device_id":5}', '{"device_id":5}'),
        ("{not json", "{not json"),
        ('{"a":' + "[" * 100_000, '{"a":' + "[" * 100_000),
        ("my_session_1", "my_session_1"),
        (7, ""),
    ],
)
def test_an_end_user_is_the_same_in_all_sessions(user_id: object, name: str) -> None:
    assert end_user(user_id) == name


@pytest.mark.parametrize(
    ("headers", "chat_id"),
    [
        ({}, None),
        ({"x-claude-code-session-id": UUID}, UUID),
        ({"session-id": UUID}, UUID),
        ({"x-openwebui-chat-id": "a", "session-id": "b"}, "a"),
        ({"x-openwebui-chat-id": "", "session-id": "b"}, "b"),
        ({"session-id": "b" * 129}, None),
    ],
)
def test_a_conversation_is_what_the_client_calls_it(headers: dict[str, str], chat_id: str | None) -> None:
    assert Inbound("POST", "messages", "", headers, b"").chat_id() == chat_id
