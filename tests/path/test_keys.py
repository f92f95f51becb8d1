"""Who may ask, and for which models; a stranger learns nothing."""

import time
from collections.abc import Callable

import pytest

from tests import services
from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import CHAT, Client, Reply, chat_body
from tests.upstream import Upstream


def asked_with(gateway: Gateway, model: str, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(gateway, "none").send("POST", CHAT, chat_body(model), {"authorization": "", **sent})


@pytest.mark.parametrize("name", ["x_api_key", "api_key"])
def test_a_key_may_come_in_other_headers(gateway: Gateway, alice: Client, name: str) -> None:
    assert asked_with(gateway, "ok", **{name: alice.key}).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(gateway: Gateway, alice: Client, scheme: str) -> None:
    assert asked_with(gateway, "ok", authorization=f"{scheme} {alice.key}").status == 200


WRONG: dict[str, Callable[[str], str]] = {
    "nothing": lambda key: "",
    "no key": lambda key: "Bearer ",
    "no scheme": lambda key: key,
    "another scheme": lambda key: f"Basic {key}",
    "a foreign key": lambda key: "Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyz",
    "a mistyped key": lambda key: "Bearer " + key[:-1] + ("a" if key[-1] != "a" else "b"),
    "half a key": lambda key: f"Bearer {key[: len(key) // 2]}",
    "the key twice": lambda key: f"Bearer {key}{key}",
    "a huge key": lambda key: "Bearer sk-sy-" + "a" * 7000,
    "no ascii": lambda key: "Bearer sk-é\xff",
    "quotes": lambda key: f'Bearer "{key}"',
    "sql": lambda key: "Bearer ' OR 1=1 --",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_is_401_before_anything_is_asked(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str, case: str
) -> None:
    value = WRONG[case](alice.key)
    answer = asked_with(gateway, model, authorization=value)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.error["type"] == "authentication_error"
    given = value.removeprefix("Bearer ")
    assert len(given) < 12 or given not in answer.body.decode(), "keys are masked"
    assert upstream.log(model) == []


def test_a_body_is_not_even_read_for_a_stranger(gateway: Gateway) -> None:
    answer = Client(gateway, "nobody").send("POST", CHAT, b"{not json")
    assert answer.status == 401


def test_refused_strangers_leave_no_usage(gateway: Gateway, alice: Client) -> None:
    stranger = asked_with(gateway, "ok", authorization="Bearer nobody")
    unknown = alice.chat("no-such-model")
    sentinel = alice.chat("ok")
    gateway.usage(1, sentinel.request_id)
    known = {row["request_id"] for row in gateway.usage(1)}
    assert not known & {stranger.request_id, unknown.request_id}


def test_a_key_works_for_the_very_next_request(gateway: Gateway, model: str) -> None:
    bob = Client(gateway, gateway.create_key(f"bob-{model}"))
    assert bob.chat("ok").status == 200


def test_an_expired_key_is_401(gateway: Gateway, model: str) -> None:
    key = gateway.create_key(f"bob-{model}")
    bob = Client(gateway, key)
    assert bob.chat("ok").status == 200
    expire(gateway, f"bob-{model}", "expires_at=timezone.now()")
    assert changed(lambda: bob.chat("ok").status == 401)
    assert "expired" in bob.chat("ok").error["message"]


def test_a_disabled_key_is_401_within_two_seconds(gateway: Gateway, model: str) -> None:
    bob = Client(gateway, gateway.create_key(f"bob-{model}"))
    assert bob.chat("ok").status == 200
    expire(gateway, f"bob-{model}", "enabled=False")
    assert changed(lambda: bob.chat("ok").status == 401)


def expire(gateway: Gateway, name: str, change: str) -> None:
    gateway.manage(
        "shell",
        "--no-imports",
        "-c",
        "from django.utils import timezone\nfrom keys.models import ApiKey\n"
        f"key = ApiKey.objects.get(name={name!r})\nkey.{change}\nkey.save()",
    )


def changed(check: Callable[[], bool]) -> bool:
    """Whether the check holds within the 2 s in which every worker knows of a change (and a little)."""
    deadline = time.monotonic() + 2.5
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_model_that_nobody_knows_is_404(alice: Client) -> None:
    answer = alice.chat("no-such-model")
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")


def test_a_forbidden_model_looks_like_an_unknown_one(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    bob = Client(gateway, gateway.create_key(f"bob-{model}", "--models", "ok"))
    forbidden, unknown = bob.chat(model), bob.chat("x" * len(model))
    assert forbidden.status == unknown.status == 404
    assert forbidden.body.replace(model.encode(), b"x" * len(model)) == unknown.body
    assert bob.chat("ok").status == 200
    assert upstream.log(model) == []


def test_the_list_of_models_holds_what_the_key_may_use(gateway: Gateway, model: str) -> None:
    bob = Client(gateway, gateway.create_key(f"bob-{model}", "--models", "vendor/family:7b,ok"))
    listed = bob.get("/v1/models").json
    assert listed["object"] == "list"
    assert sorted(entry["id"] for entry in listed["data"]) == ["ok", "vendor/family:7b"]
    for entry in listed["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert isinstance(entry["owned_by"], str)


def test_one_model_is_shown_as_in_the_list_or_not_at_all(gateway: Gateway, model: str) -> None:
    bob = Client(gateway, gateway.create_key(f"bob-{model}", "--models", "ok"))
    assert bob.get("/v1/models/ok").json in bob.get("/v1/models").json["data"]
    hidden, unknown = bob.get("/v1/models/slow"), bob.get("/v1/models/nope")
    assert (hidden.status, hidden.error["code"]) == (unknown.status, unknown.error["code"])
    assert hidden.status == 404


def test_a_hidden_model_is_served_but_not_listed(gateway: Gateway, alice: Client, model: str) -> None:
    get = f"from providers.models import Model\nmodel = Model.objects.get(name={model!r})\n"
    gateway.manage("shell", "--no-imports", "-c", get + "model.hidden = True\nmodel.save()")
    assert changed(lambda: model not in [entry["id"] for entry in alice.get("/v1/models").json["data"]])
    assert alice.chat(model).status == 200


@pytest.mark.postgres
def test_a_database_that_is_down_is_503_and_never_401(
    postgres: services.Postgres, migrated_postgres: str, upstream: Upstream, model: str
) -> None:
    with Gateway(config_of([Entry(model, upstream.url)]), {"DATABASE_URL": migrated_postgres}) as gateway:
        alice = Client(gateway, gateway.create_key("alice"))
        bob = Client(gateway, gateway.create_key("bob"))
        assert alice.chat(model).status == 200
        postgres.stop()
        try:
            assert alice.chat(model).status == 200, "a key that was seen is known"
            answer = bob.chat(model)
            assert (answer.status, answer.error["type"]) == (503, "server_error")
            assert asked_with(gateway, model, authorization="Bearer sk-sy-x").status == 401
        finally:
            postgres.start()
        assert changed(lambda: bob.chat(model).status == 200) or bob.chat(model).status == 200
