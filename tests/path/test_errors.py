"""Every error has one shape, tells what the client can do, and hides where the provider lives."""

from typing import Any

import pytest

from tests.path.client import CHAT, Client
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error

CONTEXT = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}
FILTER = {
    "error": {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/chat", 404),
        ("GET", "/v1", 404),
        ("POST", "/embed", 404),
        ("GET", "/nothing", 404),
        ("GET", "/V1/models", 404),
        ("GET", "/adminx", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/health", 405),
        ("BREW", "/v1/chat/completions", 405),
    ],
)
def test_an_address_or_method_that_is_not_served_says_so(
    alice: Client, method: str, path: str, status: int
) -> None:
    answer = alice.send(method, path)
    assert answer.status == status
    assert answer.error["type"] in ("invalid_request_error", "not_found_error")


@pytest.mark.parametrize("body", [CONTEXT, FILTER], ids=["context length", "content filter"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_own_verdict_on_the_request_passes_unchanged(
    alice: Client, upstream: Upstream, model: str, body: dict[str, Any], stream: bool
) -> None:
    upstream.behave(error(400, body), model=model)
    answer = alice.chat(model, stream=stream)
    assert answer.status == 400
    assert answer.json == body
    assert len(upstream.log(model)) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_the_requests_own_fault_is_asked_once(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str, status: int
) -> None:
    upstream.behave(error(status), model=pair)
    answer = alice.chat(pair)
    assert (answer.status, answer.error["message"]) == (status, f"upstream says {status}")
    assert (len(upstream.log(pair)), len(spare.log(pair))) == (1, 0)
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["status"], row["http_status"]) == ("failed", status)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ("<html><h1>Bad gateway</h1></html>", None, None),
        ({"detail": "Not that way"}, "Not that way", None),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}]}, "Field required", None),
        ({"error": "No such thing"}, "No such thing", None),
        ({"error": {"message": "Too much", "code": 400}}, "Too much", "400"),
        ({"message": "Odd", "object": "error", "code": 40303}, "Odd", None),
        ({"error": {"message": {"deep": 1}}}, None, None),
        ("[]", None, None),
        ("", None, None),
        ('{"error":', None, None),
    ],
    ids=["html", "detail", "details", "text", "integer code", "flat", "no text", "list", "empty", "half"],
)
def test_any_other_form_is_put_into_the_envelope(
    alice: Client, upstream: Upstream, model: str, body: Any, message: str | None, code: str | None
) -> None:
    upstream.behave(error(422, body), model=model)
    answer = alice.chat(model)
    assert answer.status == 422
    assert answer.header("content-type") == "application/json"
    told = answer.error
    assert message is None or told["message"] == message
    assert code is None or told["code"] == code
    assert "<" not in told["message"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_misconfigured_deployment_is_502_when_no_other_is_left(
    alice: Client, upstream: Upstream, model: str, status: int
) -> None:
    upstream.behave(error(status, {"error": {"message": "Incorrect API key sk-of-provider"}}), model=model)
    answer = alice.chat(model)
    assert answer.status == 502
    assert answer.error["type"] == "server_error"
    assert "sk-of-provider" not in answer.body.decode()
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["status"], row["http_status"]) == ("failed", status)


@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_is_never_followed(
    alice: Client, upstream: Upstream, spare: Upstream, model: str, stream: bool
) -> None:
    away = [("location", f"{spare.url}/chat/completions")]
    upstream.behave(Behaviour(status=307, headers=away, body=""), model=model)
    answer = alice.chat(model, stream=stream)
    assert answer.status == 502
    assert answer.header("location") is None
    assert str(spare.port) not in answer.body.decode()
    assert spare.log(model) == []


UNREADABLE = {
    "an error in it": Behaviour(body='{"error":{"message":"overloaded","type":"x","code":503}}'),
    "no choices": Behaviour(body='{"id":"1","object":"chat.completion"}'),
    "empty choices": Behaviour(body='{"id":"1","choices":[]}'),
    "nothing": Behaviour(body=""),
    "half of it": Behaviour(truncate=20),
    "html": Behaviour(body="<html>It works!</html>", content_type="text/html"),
    "fewer bytes than it promised": Behaviour(fault="close", fault_after=1),
    "a reset in the middle": Behaviour(fault="reset", fault_after=1),
    "a hanging middle": Behaviour(fault="hang", fault_after=1),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_200_that_is_no_answer_is_a_failure(
    alice: Client, upstream: Upstream, model: str, case: str
) -> None:
    upstream.behave(UNREADABLE[case], model=model)
    answer = alice.chat(model)
    assert answer.status in (502, 503, 504), answer.body
    assert answer.error["message"]
    rows = alice.gateway.usage(1, answer.request_id)
    assert {row["status"] for row in rows} == {"failed"}


@pytest.mark.parametrize("case", ["an error in it", "no choices", "nothing", "html"])
def test_such_an_answer_to_a_stream_is_a_failure_too(
    alice: Client, upstream: Upstream, model: str, case: str
) -> None:
    upstream.behave(UNREADABLE[case], model=model)
    answer = alice.stream(model)
    assert answer.status in (502, 503)
    assert answer.error["message"]


def test_neither_address_nor_key_of_the_provider_shows(alice: Client, upstream: Upstream, model: str) -> None:
    leak = {"error": {"message": f"POST {upstream.url}/chat/completions with sk-of-provider: no"}}
    upstream.behave(error(400, leak), model=model)
    text = alice.chat(model).body.decode()
    assert "127.0.0.1" not in text
    assert str(upstream.port) not in text
    assert "sk-of-provider" not in text


def test_a_dead_provider_is_a_502_that_does_not_name_it(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(fault="reset", fault_after=BEFORE_HEADERS), model=model)
    answer = alice.chat(model)
    assert answer.status == 502
    assert "127.0.0.1" not in answer.body.decode()


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/ok"])
def test_errors_of_authentication_have_the_shape_too(alice: Client, path: str) -> None:
    answer = alice.send("POST" if path == CHAT else "GET", path, headers={"authorization": "Bearer x"})
    assert answer.status == 401
    assert answer.error["code"] == "invalid_api_key"
