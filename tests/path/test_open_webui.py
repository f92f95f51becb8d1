"""One "hello" in Open WebUI is four requests: each has its task, its chat and its user in the ledger."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client, Reply
from tests.path.test_end_users import SECRET, token
from tests.upstream import Behaviour, Upstream

CHAT_ID = "040539c8-8d3c-4a5f-9f5b-6a2f0a3c1f5e"
# What Open WebUI sends with each request of a connection that has the header `X-Task: {{TASK}}`.
HEADERS = {
    "X-OpenWebUI-User-Jwt": token(lasts=86_400),
    "X-OpenWebUI-Chat-Id": CHAT_ID,
    "X-OpenWebUI-Message-Id": "7f6d0f3e-66a2-4ac1-9f1c-3a3c2c7b2e11",
}
TASKS = ("", "title_generation", "follow_up_generation", "tags_generation")
_READ = (
    "import json; from usage.models import Attempt, Exchange; "
    "rows = Attempt.objects.filter(request_id__in={ids!r}); "
    "kept = dict(Exchange.objects.filter(request_id__in={ids!r}).values_list('request_id', 'chat_id')); "
    "print(json.dumps([{{**row, 'kept': kept.get(row['request_id'])}} for row in "
    "rows.values('request_id', 'task', 'chat_id', 'end_user', 'status', 'stream')]))"
)


@pytest.fixture(scope="module", params=["true", "false"], ids=["direct", "django"])
def webui(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Client]:
    """Open WebUI's key, at each door; its prompts and answers are kept."""
    env = {"OPENWEBUI_JWT_SECRET": SECRET, "DIRECT_DOOR": request.param}
    with Gateway(config_of([Entry("hello", upstream.url)]), env) as gateway:
        key = gateway.create_key("webui")
        gateway.manage(
            *("shell", "-v", "0", "-c"),
            "from keys.models import ApiKey; key = ApiKey.objects.get(name='webui'); "
            "key.keep_exchanges = True; key.save()",
        )
        yield Client(gateway, key, HEADERS)


def ask(webui: Client, task: str, **fields: Any) -> Reply:
    body = {"model": "hello", "messages": [{"role": "user", "content": "hello"}], **fields}
    headers = {"X-Task": task} if task else {}
    return webui.send("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)


def rows_of(webui: Client, *ids: str) -> dict[str, Mapping[str, Any]]:
    """The usage rows of these requests, by their tasks."""
    for id in ids:
        webui.gateway.usage(1, id)
    told = webui.gateway.manage("shell", "-v", "0", "-c", _READ.format(ids=list(ids)))
    return {row["task"]: row for row in json.loads(told)}


def test_the_four_requests_of_one_hello(webui: Client) -> None:
    with ThreadPoolExecutor(3) as tasks:
        chat = ask(webui, "", stream=True, stream_options={"include_usage": True})
        assert chat.text
        others = list(tasks.map(lambda task: ask(webui, task, stream=False, max_tokens=1000), TASKS[1:]))
    replies = [chat, *others]
    assert [reply.status for reply in replies] == [200] * 4
    rows = rows_of(webui, *(reply.request_id for reply in replies))
    assert set(rows) == set(TASKS)
    for row in rows.values():
        assert (row["chat_id"], row["end_user"], row["status"]) == (CHAT_ID, "alice@example.com", "ok")
        assert row["kept"] == CHAT_ID
    assert [rows[task]["stream"] for task in TASKS] == [True, False, False, False]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("local%3AW%C3%A4rme", "local:Wärme", id="percent-encoded"),
        pytest.param("a" * 128, "a" * 128, id="as long as may be"),
        pytest.param("a" * 129, None, id="too long"),
        pytest.param("a%00b", None, id="not printable"),
        pytest.param("%FF%FE", "\ufffd\ufffd", id="no text"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_chat_id_is_kept_when_it_is_one_short_line(webui: Client, sent: str, kept: str | None) -> None:
    body = b'{"model":"hello","messages":[]}'
    reply = webui.send("POST", "/v1/chat/completions", body, {"X-OpenWebUI-Chat-Id": sent})
    assert reply.status == 200
    [row] = rows_of(webui, reply.request_id).values()
    assert row["chat_id"] == kept


def test_who_talks_where_stays_here(webui: Client, upstream: Upstream) -> None:
    ask(webui, "title_generation")
    told = str(upstream.log("hello")[-1].headers).lower()
    assert "openwebui" not in told
    assert CHAT_ID not in told
    assert "x-task" not in told


def test_a_provider_that_hangs_or_fails_does_not_make_the_list_of_models_slow(
    webui: Client, upstream: Upstream
) -> None:
    asked = len(upstream.log("hello"))
    try:
        upstream.behave(Behaviour(head_delay=3.0), model="hello")
        with ThreadPoolExecutor(8) as others:
            waiting = [others.submit(ask, webui, "") for _ in range(8)]
            while len(upstream.log("hello")) < asked + 8:
                assert not any(each.done() for each in waiting)
            told = webui.get("/v1/models")
            assert not any(each.done() for each in waiting), "the list came before any answer of the provider"
        assert [model["id"] for model in told.json["data"]] == ["hello"]
        upstream.behave(Behaviour(status=500), model="hello")
        assert ask(webui, "").status == 500
        assert webui.get("/models").json == told.json
    finally:
        upstream.behave(Behaviour(), model="hello")
