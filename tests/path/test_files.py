"""Files and batches at the provider that owns them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error

KIND = {"content-type": "multipart/form-data; boundary=xYz"}
FORM = (
    b'--xYz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"a": 1}\r\n--xYz--\r\n'
)
FILE = {"id": "file-1", "object": "file", "bytes": 8, "filename": "a.jsonl", "purpose": "batch"}
BATCH = {"id": "batch_1", "object": "batch", "status": "in_progress", "input_file_id": "file-1"}
DONE = BATCH | {"status": "completed", "output_file_id": "file-2", "error_file_id": None}


def says(body: Any, **more: Any) -> Behaviour:
    return Behaviour(body=body if isinstance(body, str) else json.dumps(body), **more)


def config(provider: Upstream) -> str:
    params = {"model": "openai/gpt", "api_base": provider.url, "api_key": "sk-1"}
    return json.dumps(
        {"model_list": [{"model_name": name, "litellm_params": params} for name in ("gpt", "other")]}
    )


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("files") as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: Upstream) -> Iterator[Gateway]:
    with Gateway(config(provider)) as running:
        yield running


@pytest.fixture(scope="module")
def alice(house: Gateway) -> Client:
    return Client(house, house.create_key("alice"))


@pytest.fixture(scope="module")
def bob(house: Gateway) -> Client:
    return Client(house, house.create_key("bob"))


def make(alice: Client, provider: Upstream) -> str:
    provider.behave(says(FILE))
    answer = alice.send("POST", "/v1/files", FORM, KIND)
    assert answer.status == 200, answer.body
    name: str = answer.json["id"]
    return name


def test_a_file_is_made_read_and_deleted_by_its_owner_alone(
    alice: Client, bob: Client, provider: Upstream
) -> None:
    name = make(alice, provider)
    assert name.startswith("file-sy")
    assert provider.log()[-1].body == FORM
    assert alice.get(f"/v1/files/{name}").json == FILE | {"id": name}
    assert provider.log()[-1].target == "/v1/files/file-1"
    assert bob.get(f"/v1/files/{name}").status == 404
    assert [row["id"] for row in alice.get("/v1/files").json["data"]] == [name]
    assert bob.get("/v1/files").json["data"] == []
    provider.behave(says('{"a": 1}\n', content_type="application/octet-stream"))
    content = alice.get(f"/v1/files/{name}/content")
    assert (content.status, content.body) == (200, b'{"a": 1}\n')
    provider.behave(says({"id": "file-1", "object": "file", "deleted": True}))
    gone = alice.send("DELETE", f"/v1/files/{name}")
    assert gone.json == {"id": name, "object": "file", "deleted": True}
    assert alice.get("/v1/files").json["data"] == []


def test_each_has_a_row_and_the_deployment_stays_well(alice: Client, provider: Upstream) -> None:
    name = make(alice, provider)
    provider.behave(error(404))
    for _ in range(6):
        answer = alice.get(f"/v1/files/{name}")
        assert answer.status == 404
    assert b"file-1" not in answer.body
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["endpoint"], row["model"], row["status"], row["http_status"]) == (
        "files/{id}",
        "",
        "failed",
        404,
    )
    assert (row["prompt_tokens"], row["cost_nano"]) == (0, 0)
    provider.behave(Behaviour())
    assert alice.chat("gpt").status == 200


def test_an_empty_file_is_no_fault_of_its_provider(alice: Client, provider: Upstream) -> None:
    name = make(alice, provider)
    provider.behave(says("", content_type="application/octet-stream"))
    for _ in range(6):
        content = alice.get(f"/v1/files/{name}/content")
        assert (content.status, content.body) == (200, b"")
    provider.behave(says(FILE))
    assert alice.get(f"/v1/files/{name}").status == 200


@pytest.mark.parametrize("path", ["", "/content"])
def test_the_head_of_a_file_comes_without_its_body(alice: Client, provider: Upstream, path: str) -> None:
    name = make(alice, provider)
    provider.behave(says(FILE) if not path else says("x" * 99, content_type="text/plain"))
    answer = alice.send("HEAD", f"/v1/files/{name}{path}", timeout=5)
    assert (answer.status, answer.body) == (200, b"")
    # asked with HEAD, a provider sends the length of a body that never comes
    assert provider.log()[-1].method == "GET"


def test_what_is_deleted_without_a_word_is_deleted(alice: Client, provider: Upstream) -> None:
    name = make(alice, provider)
    provider.behave(says("", status=204, framing="length"))
    for _ in range(6):  # and says nothing against its provider
        gone = alice.send("DELETE", f"/v1/files/{name}")
        assert (gone.status, gone.body) == (204, b"")
    assert name not in [row["id"] for row in alice.get("/v1/files").json["data"]]
    provider.behave(says(FILE))
    assert alice.get(f"/v1/files/{name}").status == 200


def test_a_file_that_was_created_has_its_clients_name(alice: Client, provider: Upstream) -> None:
    provider.behave(says(FILE | {"id": "file-201"}, status=201))
    made = alice.send("POST", "/v1/files", FORM, KIND)
    assert made.status == 201
    assert made.json["id"].startswith("file-sy")
    assert made.json["id"] in [row["id"] for row in alice.get("/v1/files").json["data"]]


def test_a_batch_is_followed_to_its_end(alice: Client, bob: Client, provider: Upstream) -> None:
    file = make(alice, provider)
    provider.behave(says(BATCH))
    body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = alice.send("POST", "/v1/batches", json.dumps(body).encode()).json
    assert provider.log()[-1].json["input_file_id"] == "file-1"
    assert made["id"].startswith("batch_sy")
    assert made["input_file_id"] == file
    assert bob.get(f"/v1/batches/{made['id']}").status == 404
    assert bob.send("POST", "/v1/batches", json.dumps(body).encode()).status == 404
    provider.behave(says(DONE))
    [listed] = alice.get("/v1/batches").json["data"]
    assert (listed["id"], listed["status"]) == (made["id"], "completed")
    provider.behave(says("result\n", content_type="application/octet-stream"))
    assert alice.get(f"/v1/files/{listed['output_file_id']}/content").body == b"result\n"
    provider.behave(says(DONE | {"status": "cancelled"}))
    assert alice.send("POST", f"/v1/batches/{made['id']}/cancel").json["status"] == "cancelled"
    assert provider.log()[-1].target == "/v1/batches/batch_1/cancel"


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--limit", "cost=10/month"], 403, "limit on cost"),
        (["--limit", "tokens=10000/minute"], 403, "limit on tokens"),
        (["--limit", "requests=10000/day"], 403, "limit on requests"),
        (["--limit", "requests=10000/minute"], 200, ""),
        (["--limit", "parallel=10"], 200, ""),
        (["--models", "gpt"], 403, "may not use all models at"),
        (["--models", "gpt,other"], 200, ""),
    ],
)
def test_who_is_bounded_does_not_get_around_it_by_a_batch(
    house: Gateway, provider: Upstream, options: list[str], status: int, told: str
) -> None:
    dave = Client(house, house.create_key(f"dave{options}", *options))
    body = json.dumps({"input_file_id": make(dave, provider)}).encode()
    provider.behave(says(BATCH))
    asked = len(provider.log())
    answer = dave.send("POST", "/v1/batches", body)
    assert answer.status == status, answer.body
    assert len(provider.log()) - asked == (status == 200)
    if told:
        assert (answer.error["type"], answer.error["code"]) == ("permission_error", "batch_beyond_limits")
        assert told in answer.error["message"]


def test_an_operator_may_open_batches_to_all(provider: Upstream) -> None:
    with Gateway(config(provider), {"BATCHES_BEYOND_LIMITS": "1"}) as running:
        erin = Client(running, running.create_key("erin", "--limit", "cost=10/month", "--models", "gpt"))
        body = json.dumps({"input_file_id": make(erin, provider)}).encode()
        provider.behave(says(BATCH))
        assert erin.send("POST", "/v1/batches", body).status == 200


def test_a_file_in_a_prompt_has_the_providers_name_there(
    alice: Client, bob: Client, provider: Upstream
) -> None:
    name = make(alice, provider)
    provider.behave(Behaviour())
    content = [{"type": "file", "file": {"file_id": name}}]
    body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": content}]}).encode()
    assert alice.send("POST", "/v1/chat/completions", body).status == 200
    assert provider.log()[-1].json["messages"][0]["content"][0]["file"]["file_id"] == "file-1"
    stranger = bob.send("POST", "/v1/chat/completions", body)
    assert (stranger.status, stranger.error["code"]) == (404, "file_not_found")


def test_pages_of_a_list(house: Gateway, provider: Upstream) -> None:
    carol = Client(house, house.create_key("carol"))
    names = []
    for number in range(5):
        provider.behave(says(FILE | {"id": f"file-{number}"}))
        names.append(carol.send("POST", "/v1/files", FORM, KIND).json["id"])
    first = carol.get("/v1/files?limit=3").json
    assert [row["id"] for row in first["data"]] == names[:1:-1]
    assert first["has_more"]
    second = carol.get(f"/v1/files?limit=3&after={first['last_id']}").json
    assert ([row["id"] for row in second["data"]], second["has_more"]) == (names[1::-1], False)
    assert [row["id"] for row in carol.get("/v1/files?order=asc&limit=1").json["data"]] == names[:1]
    assert carol.get("/v1/files?purpose=assistants").json["data"] == []
    assert carol.get("/v1/files?limit=0").status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/files", b"{}", 400),
        ("POST", "/v1/files?provider=nobody", FORM, 400),
        ("POST", "/v1/batches", b"[]", 400),
        ("POST", "/v1/batches", b"{}", 400),
        ("GET", "/v1/files/file-1", b"", 404),
        ("GET", "/v1/files/file-sy" + "A" * 60, b"", 404),
        ("GET", "/v1/batches?after=x", b"", 400),
    ],
)
def test_what_is_wrong_is_told(alice: Client, method: str, path: str, body: bytes, status: int) -> None:
    answer = alice.send(method, path, body, KIND if body == FORM else {})
    assert answer.status == status, answer.body
    assert answer.error["message"]


def test_a_provider_that_is_silent_about_a_file_has_no_model_to_be_named(
    alice: Client, provider: Upstream
) -> None:
    provider.behave(Behaviour(fault="close", fault_after=BEFORE_HEADERS))
    answer = alice.send("POST", "/v1/files", FORM, KIND)
    assert (answer.status, answer.error["message"]) == (
        502,
        "The provider did not answer (connection_lost).",
    )
