"""The request that one deployment gets, and what of the deployment stays hidden."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

import pytest

from gateway.calls import read
from gateway.messages import Inbound
from gateway.passages import Passage
from gateway.surfaces import CHAT
from gateway.upstream_calls import hide, upstream_body, upstream_request
from providers.connection import Destination, UpstreamRequest
from providers.routing import Share
from providers.snapshot import Target

ATTEMPT = UUID(int=7)


def target(
    *,
    host: str = "llm.example",
    defaults: Mapping[str, object] = MappingProxyType({}),
    refused: frozenset[str] = frozenset(),
    cap_param: str = "max_tokens",
    headers: tuple[tuple[str, str], ...] = (("authorization", "Bearer sk-upstream-1"),),
) -> Target:
    return Target(
        id=1,
        name="first",
        provider="Acme",
        upstream_model="org/llm",
        destination=Destination("https", host, 443),
        base_path="/v1",
        headers=headers,
        share=Share(1, 0, 1),
        slots=None,
        timeout=60,
        first_event_timeout=60,
        defaults={name: json.dumps(value).encode() for name, value in defaults.items()},
        refused=refused,
        cap_param=cap_param,
    )


def sent(fields: Mapping[str, object], to: Target, cap: int | None = None) -> dict[str, object]:
    call = read(json.dumps({"model": "llm", **fields}).encode())
    body: dict[str, object] = json.loads(upstream_body(call, to, cap))
    return body


def test_the_model_is_the_providers_own_name() -> None:
    assert sent({}, target()) == {"model": "org/llm"}


def test_defaults_are_sent_unless_the_client_says_otherwise() -> None:
    to = target(defaults={"temperature": 0.2, "top_p": 0.5})
    assert sent({"temperature": 1}, to) == {"model": "org/llm", "temperature": 1, "top_p": 0.5}
    assert sent({"temperature": None}, to)["temperature"] is None


def test_refused_parameters_are_left_out_defaults_too() -> None:
    to = target(refused=frozenset({"logit_bias", "user"}), defaults={"user": "Bob"})
    assert sent({"logit_bias": {}, "temperature": 1}, to) == {"model": "org/llm", "temperature": 1}


def test_usage_is_always_asked_for_in_a_stream() -> None:
    assert sent({"stream": True}, target())["stream_options"] == {"include_usage": True}
    given = {"include_usage": False, "include_obfuscation": False}
    assert sent({"stream": True, "stream_options": given}, target())["stream_options"] == given | {
        "include_usage": True
    }
    assert sent({"stream": True, "stream_options": None}, target())["stream_options"] == {
        "include_usage": True
    }


def test_stream_options_without_a_stream_are_not_sent() -> None:
    assert "stream_options" not in sent({"stream_options": {"include_usage": True}}, target())


def test_a_reserved_answer_is_capped_by_the_parameter_the_model_takes() -> None:
    assert sent({}, target(), cap=80)["max_tokens"] == 80
    assert sent({}, target(cap_param="max_completion_tokens"), cap=80) == {
        "model": "org/llm",
        "max_completion_tokens": 80,
    }


@pytest.mark.parametrize(("default", "capped"), [(50, 50), (500, 80)])
def test_the_lower_of_reserve_and_default_is_the_cap(default: int, capped: int) -> None:
    to = target(defaults={"max_completion_tokens": default})
    assert sent({}, to, cap=80) == {"model": "org/llm", "max_tokens": capped}


@pytest.mark.parametrize("told", [None, 10**9])
def test_a_cap_of_the_client_that_bounds_nothing_gives_way(told: int | None) -> None:
    body = {"max_completion_tokens": told}
    assert sent(body, target(), cap=80) == {"model": "org/llm", "max_tokens": 80}
    assert sent(body, target(cap_param="max_completion_tokens"), cap=80)["max_completion_tokens"] == 80


def test_a_cap_of_the_client_is_the_only_one() -> None:
    to = target(defaults={"max_tokens": 50})
    assert sent({"max_completion_tokens": 9}, to) == {"model": "org/llm", "max_completion_tokens": 9}


def asked(headers: Mapping[str, str], query: str = "", to: Target | None = None) -> UpstreamRequest:
    inbound = Inbound("POST", "chat/completions", query, headers, b"{}")
    return upstream_request(inbound, to or target(), Passage(CHAT), b"{}", ATTEMPT)


def test_nothing_of_the_client_goes_upstream_but_its_words_to_the_provider() -> None:
    given = {
        "authorization": "Bearer sk-sy-x",
        "cookie": "a=b",
        "host": "me",
        "x-api-key": "k",
        "connection": "x",
    }
    headers = dict(asked(given | {"openai-beta": "assistants", "idempotency-key": "7"}).headers)
    assert headers == {
        "openai-beta": "assistants",
        "idempotency-key": "7",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "user-agent": "switchyard",
        "authorization": "Bearer sk-upstream-1",
        "x-request-id": str(ATTEMPT),
    }


def test_the_attempts_id_cannot_be_overruled() -> None:
    request = asked({"x-request-id": "client"}, to=target(headers=(("x-request-id", "provider"),)))
    assert [value for name, value in request.headers if name == "x-request-id"] == [str(ATTEMPT)]


def test_path_and_query_go_along() -> None:
    assert asked({}).path == "/v1/chat/completions"
    assert asked({}, query="beta=true&x=%20").path == "/v1/chat/completions?beta=true&x=%20"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (b"no route to https://llm.example/v1/chat?x=1 now", b"no route to [provider] now"),
        (b"llm.example:443 is down", b"[provider] is down"),
        (b"LLM.Example", b"[provider]"),
        (b"key sk-upstream-1 is wrong", b"key [hidden] is wrong"),
        (b'{"message":"at http://llm.example/a"}', b'{"message":"at [provider]"}'),
        (b"nothing to hide", b"nothing to hide"),
    ],
)
def test_address_and_credential_of_the_provider_are_hidden(told: bytes, shown: bytes) -> None:
    assert hide(told, target()) == shown


def test_a_short_host_does_not_blank_parts_of_words() -> None:
    to = target(host="llm")
    assert hide(b"smollm2 and llm-2 at http://llm:8000/v1", to) == b"smollm2 and llm-2 at [provider]"


def test_an_ipv6_address_is_hidden() -> None:
    assert hide(b"at http://[fd00::1]:8000/v1!", target(host="fd00::1")) == b"at [provider]"


def test_short_values_of_headers_are_not_hidden() -> None:
    assert hide(b"on", target(headers=(("x-flag", "on"),))) == b"on"
