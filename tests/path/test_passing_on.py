"""What goes to the provider and what comes back: everything the client said, and nothing that is ours."""

import json
import re
from typing import Any

import pytest

from tests.path.client import CHAT, Client
from tests.upstream import Behaviour, Upstream

ODD = (
    '{ "model" : "%s",\n\t"messages":[{"role":"developer","content":[{"type":"text","text":"\\u00e9 é"}]},'
    '{"role":"assistant","content":null,"tool_calls":[]}], "temperature":1.0, "seed":12345678901234567890,'
    '"top_p":1e-7,"x_twice":1,"x_twice":2.50,"top_k":40,"tools":[],"tool_choice":null,'
    '"chat_template_kwargs":{"b":1,"a":[1.0,-0.0]},"logit_bias":{"50256":-100} }'
)


def literally(body: bytes) -> Any:
    """The body with everything that counts: order, doubles, the digits of numbers, how text is escaped."""
    text = re.sub(rb'"(?:[^"\\]|\\.)*"', lambda found: found.group().replace(b"\\", b"\\\\"), body)
    return json.loads(text, object_pairs_hook=list, parse_float=str, parse_int=str)


def test_numbers_order_escapes_and_doubles_of_a_body_survive(
    alice: Client, upstream: Upstream, model: str
) -> None:
    body = (ODD % model).encode()
    assert alice.send("POST", CHAT, body).status == 200
    assert literally(upstream.log(model)[0].body) == literally(body)


def test_values_keep_even_their_blanks(alice: Client, upstream: Upstream, model: str) -> None:
    value = b'{ "a" : [1 ,2.0],\n  "b":"\\u0041" }'
    alice.send("POST", CHAT, b'{"model":"%s" , "x": %s , "y":1}' % (model.encode(), value))
    assert value in upstream.log(model)[0].body


def test_of_a_stream_only_the_stream_options_change(alice: Client, upstream: Upstream, model: str) -> None:
    body = (ODD % model).encode().replace(b'"top_k"', b'"stream": true, "top_k"')
    assert alice.send("POST", CHAT, body).status == 200
    asked = ("stream_options", [("include_usage", True)])
    assert literally(upstream.log(model)[0].body) == [*literally(body), asked]


def test_the_model_is_called_by_the_providers_name_and_nothing_else_changes(
    alice: Client, upstream: Upstream
) -> None:
    alice.send("POST", CHAT, (ODD % "vendor/family:7b").encode())
    assert literally(upstream.log("vendor-7b")[-1].body) == literally((ODD % "vendor-7b").encode())


def test_an_answer_comes_back_byte_for_byte(alice: Client, upstream: Upstream, model: str) -> None:
    body = '{ "choices" : [{"index":0, "message":{"content":"é \\u00e9"}, "x":1.50}],\n "y":null, "y":2 }'
    upstream.behave(Behaviour(body=body), model=model)
    answer = alice.chat(model)
    assert answer.status == 200
    assert answer.body == body.encode()


def test_the_clients_credentials_and_cookies_stay_here(alice: Client, upstream: Upstream, model: str) -> None:
    ours = {
        "x-api-key": alice.key,
        "api-key": alice.key,
        "cookie": "session=1",
        "proxy-authorization": "Basic x",
    }
    body = b'{"model":"%s"}' % model.encode()
    assert alice.send("POST", CHAT, body, ours).status == 200
    [seen] = upstream.log(model)
    assert seen.header("authorization") == "Bearer sk-of-provider"
    assert not {name for name, _ in seen.headers} & {"x-api-key", "api-key", "cookie", "proxy-authorization"}
    assert alice.key not in str(seen.headers)


def test_hop_by_hop_headers_and_host_stay_here(alice: Client, upstream: Upstream, model: str) -> None:
    hops = {"te": "trailers", "upgrade": "x", "keep-alive": "3", "connection": "x-mine", "x-mine": "1"}
    alice.send("POST", CHAT, b'{"model":"%s"}' % model.encode(), {**hops, "host": "gateway.example"})
    [seen] = upstream.log(model)
    assert not {name.lower() for name, _ in seen.headers} & {"te", "upgrade", "keep-alive", "x-mine"}
    assert seen.header("host") == f"127.0.0.1:{upstream.port}"
    assert seen.header("accept-encoding") == "identity"


def test_the_query_goes_up(alice: Client, upstream: Upstream, model: str) -> None:
    alice.send("POST", f"{CHAT}?beta=true&x=%2F", b'{"model":"%s"}' % model.encode())
    assert upstream.log(model)[0].target == "/v1/chat/completions?beta=true&x=%2F"


def test_a_providers_cookie_and_hop_by_hop_headers_do_not_come_back(
    alice: Client, upstream: Upstream, model: str
) -> None:
    cookie = [("set-cookie", "spy=1"), ("keep-alive", "timeout=5"), ("server", "spy")]
    upstream.behave(Behaviour(headers=cookie), model=model)
    for answer in (alice.chat(model), alice.stream(model)):
        assert answer.header("set-cookie") is None
        assert answer.header("keep-alive") is None
        assert answer.header("server") != "spy"


def test_the_attempts_id_goes_up_in_place_of_the_clients(
    alice: Client, upstream: Upstream, model: str
) -> None:
    mine = f"mine-{model}"
    answer = alice.send("POST", CHAT, b'{"model":"%s"}' % model.encode(), {"x-request-id": mine})
    [seen] = upstream.log(model)
    [row] = alice.gateway.usage(1, mine)
    assert answer.request_id == mine
    assert seen.request_id == row["attempt_id"] != mine


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_whole_answer_in_any_framing_is_the_same(
    alice: Client, upstream: Upstream, model: str, framing: str
) -> None:
    shapes = {"chunked": Behaviour(framing="chunked", write=5), "close": Behaviour(framing="close")}
    upstream.behave(shapes.get(framing, Behaviour()), model=model)
    answer = alice.chat(model)
    assert answer.json["choices"][0]["message"]["content"] == "w0 w1 w2 "
