"""What a client chooses to send is never held against a deployment: it is asked the next time as well."""

import json
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import CHAT, Client
from tests.path.conftest import Doors
from tests.upstream import Behaviour, Upstream, error

# One more than the failures in a row after which a deployment is left alone.
REQUESTS = 6
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
COUNTED = {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
PROMPT = {"input": "Hi", "prompt": {"id": "pmpt_none"}}
JSON = "application/json"
FORM = "multipart/form-data; boundary=xYz"


def _says(body: Any, **more: Any) -> Behaviour:
    return Behaviour(body=json.dumps(body), content_type=JSON, **more)


def _failed(code: str) -> Behaviour:
    return _says({**RESPONSE, "status": "failed", "error": {"code": code, "message": "no"}})


def _events(*told: Any) -> Behaviour:
    body = "".join(f"data: {json.dumps(data)}\n\n" for data in told)
    return Behaviour(body=body, content_type="text/event-stream")


def _missing(what: str) -> Behaviour:
    message = f"{what} not found."
    return error(
        404, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )


BEGUN = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]}
BAD_REQUEST = {"error": {"message": "bad schema", "type": "BadRequestError", "param": None, "code": 400}}
TOO_LARGE = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 45000."
REFUSALS: dict[str, tuple[str, dict[str, Any], Behaviour]] = {
    "a prompt that no choice answers": (CHAT, HELLO, _says({"choices": [], "usage": COUNTED})),
    "the same in a stream": (CHAT, {**HELLO, "stream": True}, _events({"choices": [], "usage": COUNTED})),
    "an error of the request in a 200": (CHAT, HELLO, _says(BAD_REQUEST)),
    "an error of the request before a stream": (CHAT, {**HELLO, "stream": True}, _events(BAD_REQUEST)),
    "an error of the request in a stream": (CHAT, {**HELLO, "stream": True}, _events(BEGUN, BAD_REQUEST)),
    "a stream answered whole": (CHAT, {**HELLO, "stream": True}, _says({"choices": [{"index": 0}]})),
    "one request beyond a minute's tokens": (CHAT, HELLO, error(429, {"error": {"message": TOO_LARGE}})),
    "a prompt that is flagged": (CHAT, HELLO, error(403, {"error": {"message": "Input was flagged by us"}})),
    "a conflict": (CHAT, HELLO, error(409)),
    "a prompt that nobody has": ("/v1/responses", PROMPT, _missing("Prompt with id 'pmpt_none'")),
    "a response without output": (
        "/v1/responses",
        PROMPT,
        _says({**RESPONSE, "usage": {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}}),
    ),
    "a response to an invalid prompt": ("/v1/responses", PROMPT, _failed("invalid_prompt")),
    "a response to a bad picture": ("/v1/responses", PROMPT, _failed("image_content_policy_violation")),
    "no embedding of nothing": ("/v1/embeddings", {"input": [""]}, _says({"data": [], "usage": COUNTED})),
    "no verdict on nothing": ("/v1/moderations", {"input": ""}, _says({"results": []})),
    "no picture of what is filtered": ("/v1/images/generations", {"prompt": "x"}, _says({"data": []})),
    "no sound of nothing": ("/v1/audio/speech", {"input": ""}, Behaviour(body="", content_type="audio/mpeg")),
}
SICK: dict[str, tuple[str, dict[str, Any], Behaviour]] = {
    "no choice and no count": (CHAT, HELLO, _says({"choices": []})),
    "an error of its own in a 200": (CHAT, HELLO, _says({"error": {"message": "overloaded", "code": 502}})),
    "an error of its own in a stream": (
        CHAT,
        {**HELLO, "stream": True},
        _events(BEGUN, {"error": {"message": "overloaded", "code": 502}}),
    ),
    "a model that it has not": (CHAT, HELLO, _missing("The model 'none-such'")),
    "a failed response": ("/v1/responses", {"input": "Hi"}, _failed("server_error")),
    "no list of embeddings": ("/v1/embeddings", {"input": ["a"]}, _says({"object": "list"})),
}


@pytest.fixture
def bob(doors: Doors) -> Client:
    """Someone with a key, at one door: what is judged lies behind both."""
    return doors.alice("direct")


def _send(client: Client, model: str, path: str, fields: dict[str, Any]) -> None:
    for _ in range(REQUESTS):
        answer = client.send("POST", path, json.dumps({"model": model, **fields}).encode())
        assert answer.status < 502, answer.body


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_that_its_client_chose_ejects_nobody(
    bob: Client, upstream: Upstream, pair: str, case: str
) -> None:
    path, fields, said = REFUSALS[case]
    upstream.behave(said, model=pair)
    _send(bob, pair, path, fields)
    assert len(upstream.log(pair)) == REQUESTS


@pytest.mark.parametrize("case", SICK)
def test_a_failure_of_its_own_ejects_a_deployment(
    bob: Client, upstream: Upstream, pair: str, case: str
) -> None:
    path, fields, said = SICK[case]
    upstream.behave(said, model=pair)
    _send(bob, pair, path, fields)
    assert len(upstream.log(pair)) == REQUESTS - 1


GOOD: dict[str, tuple[str, dict[str, Any], Behaviour | None]] = {
    "nothing to rank": ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": 0}, None),
    "a response of its end alone": (
        "/v1/responses",
        {"input": "Hi"},
        _says({**RESPONSE, "usage": {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}}),
    ),
    "a response cut short": ("/v1/responses", {"input": "Hi"}, _says({**RESPONSE, "status": "incomplete"})),
    "pictures that are no stream": (
        "/v1/images/generations",
        {"prompt": "x", "stream": True},
        _says({"created": 1, "data": [{"b64_json": "AA=="}]}),
    ),
    "no words at a cap": (CHAT, {**HELLO, "max_tokens": 1}, Behaviour(texts=[""], finish="length")),
}


@pytest.mark.parametrize("case", GOOD)
def test_an_answer_that_says_little_is_one(bob: Client, upstream: Upstream, model: str, case: str) -> None:
    path, fields, said = GOOD[case]
    if said is not None:
        upstream.behave(said, model=model)
    answer = bob.send("POST", path, json.dumps({"model": model, **fields}).encode())
    assert answer.status == 200, answer.body
    assert len(upstream.log(model)) == 1
    [row] = bob.gateway.usage(1, answer.request_id)
    assert row["status"] == "ok"


@pytest.mark.parametrize(
    ("surface", "fields", "named"),
    [
        ("embeddings", {"input": []}, "input"),
        ("moderations", {"input": []}, "input"),
        ("rerank", {"query": "q", "documents": []}, "documents"),
    ],
)
def test_a_request_for_nothing_is_refused_before_anybody_is_asked(
    bob: Client, upstream: Upstream, model: str, surface: str, fields: dict[str, Any], named: str
) -> None:
    body = json.dumps({"model": model, **fields}).replace("[]", "[ \n]").encode()
    answer = bob.send("POST", f"/v1/{surface}", body)
    assert answer.status == 400
    assert (answer.error["param"], answer.error["code"]) == (named, "invalid_request")
    assert "at least one item" in answer.error["message"]
    assert upstream.log(model) == []


@pytest.mark.parametrize(
    ("fields", "said", "told"),
    [
        ({"response_format": "text"}, Behaviour(body="", content_type="text/plain"), b""),
        ({"response_format": "json"}, _says({"text": ""}), b'{"text": ""}'),
        ({"stream": "true"}, _says({"text": ""}), b'{"text": ""}'),
    ],
    ids=["plain", "json", "a stream was asked for"],
)
def test_silence_is_heard_well(
    bob: Client, upstream: Upstream, pair: str, fields: dict[str, str], said: Behaviour, told: bytes
) -> None:
    upstream.behave(said, model=pair)
    parts = "".join(
        f'--xYz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"model": pair, **fields}.items()
    )
    parts += (
        '--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n0000\r\n--xYz--\r\n'
    )
    for _ in range(REQUESTS):
        answer = bob.send("POST", "/v1/audio/transcriptions", parts.encode(), {"content-type": FORM})
        assert (answer.status, answer.body) == (200, told)
    assert len(upstream.log(pair)) == REQUESTS


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_asks_for_more_than_is_taken_ejects_nobody(spare: Upstream, stream: bool) -> None:
    with Upstream() as wordy:
        wordy.behave(Behaviour(big=2**20 + 2**18), model="m")
        first, second = (
            Entry("m", each.url, params={"order": n}) for n, each in enumerate((wordy, spare), 1)
        )
        with Gateway(config_of([first, second]), {"MAX_ANSWER_MB": "1"}) as gateway:
            alice = Client(gateway, gateway.create_key("alice"))
            for _ in range(REQUESTS):
                assert alice.chat("m", stream=stream).status == 200
            assert len(wordy.log("m")) == REQUESTS
