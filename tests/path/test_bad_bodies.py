"""A body that is no sound request is a 400 in the envelope, never a 500, and nobody upstream hears of it."""

import json

import pytest

from tests.path.client import CHAT, HELLO, Client
from tests.upstream import Upstream

DEEP = 100_000
LONG = "1" * 5000

UNSOUND = {
    "nothing": b"",
    "blanks": b"  \n",
    "half": b'{"model":"ok"',
    "a word": b"hello",
    "a form": b"model=ok&messages=x",
    "a list": b"[]",
    "a text": b'"ok"',
    "a number": b"7",
    "null": b"null",
    "two objects": b'{"model":"ok"}{"model":"ok"}',
    "not utf-8": b'{"model":"ok","x":"\xff\xfe"}',
    "half a surrogate pair": b'{"model":"ok","x":"\\ud800"}',
    "half a pair in a message": b'{"model":"ok","messages":[{"role":"user","content":"\\udfff"}]}',
    "half a pair in a name": b'{"model":"ok","\\ud83d":1}',
    "NaN": b'{"model":"ok","temperature":NaN}',
    "Infinity": b'{"model":"ok","x":[-Infinity]}',
    "a nested list too deep": b'{"model":"ok","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a nested object too deep": b'{"model":"ok","x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "only brackets": b"[" * DEEP,
    "a long number": b'{"model":"ok","seed":%s}' % LONG.encode(),
    "a long nested number": b'{"model":"ok","x":{"y":[%s]}}' % LONG.encode(),
    "a long model": b'{"model":%s}' % LONG.encode(),
    "single quotes": b"{'model':'ok'}",
    "a comma too many": b'{"model":"ok",}',
    "a control character": b'{"model":"o\x01k"}',
}
WRONG_TYPES: dict[str, list[object]] = {
    "model": [7, None, ["ok"], {"a": 1}, ""],
    "stream": ["yes", 1, {}],
    "max_tokens": ["many", 1.5, {}, True, -1],
    "max_completion_tokens": ["many", []],
    "n": ["two", 0, -1, 1.5],
    "stream_options": ["x", [1], 3],
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_a_body_that_is_no_json_object_is_400(alice: Client, kind: str) -> None:
    answer = alice.send("POST", CHAT, UNSOUND[kind])
    assert answer.status == 400, answer.body[:300]
    assert answer.error["type"] == "invalid_request_error"
    assert len(answer.body) < 1000


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, vs in WRONG_TYPES.items() for v in vs])
def test_a_field_of_the_wrong_type_is_400_and_named(alice: Client, name: str, value: object) -> None:
    body = {"model": "ok", "messages": HELLO, "stream": True, name: value}
    answer = alice.send("POST", CHAT, json.dumps(body).encode())
    assert answer.status == 400, answer.body[:300]
    assert answer.error["param"] == name


def test_a_missing_model_is_400_and_named(alice: Client) -> None:
    answer = alice.send("POST", CHAT, b'{"messages":[]}')
    assert (answer.status, answer.error["param"]) == (400, "model")


def test_nobody_upstream_hears_of_it(alice: Client, upstream: Upstream, model: str) -> None:
    for value in ('"stream":"yes"', '"x":NaN', '"x":"\\ud800"', f'"x":{LONG}'):
        alice.send("POST", CHAT, b'{"model":"%s",%s}' % (model.encode(), value.encode()))
    assert alice.chat(model).status == 200
    assert len(upstream.log(model)) == 1


def test_moderate_nesting_passes(alice: Client, upstream: Upstream, model: str) -> None:
    body = b'{"model":"%s","x":%s}' % (model.encode(), b"[" * 60 + b"]" * 60)
    assert alice.send("POST", CHAT, body).status == 200
    assert upstream.log(model)[0].body == body


def test_null_where_a_field_is_optional_is_as_if_it_were_absent(
    alice: Client, upstream: Upstream, model: str
) -> None:
    fields = {"stream": None, "max_tokens": None, "n": None, "user": None, "stream_options": None}
    assert alice.chat(model, **fields).status == 200
    assert upstream.log(model)[0].json == {"model": model, "messages": HELLO, **fields} or (
        "stream_options" not in upstream.log(model)[0].json
    )
