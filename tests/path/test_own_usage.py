"""A key's holder sees its limits, how full they are, and what was spent; and nothing of others."""

import time

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream


def usage_of(client: Client, query: str = "") -> dict[str, object]:
    answer = client.send("GET", f"/v1/usage{query}")
    assert answer.status == 200, answer.body
    told: dict[str, object] = answer.json
    return told


def limits_of(client: Client, query: str = "") -> dict[str, dict[str, object]]:
    told = usage_of(client, query)["limits"]
    assert isinstance(told, list)
    return {f"{limit['metric']}/{limit['window']}": limit for limit in told}


def key_with(gateway: Gateway, name: str, *limits: str) -> Client:
    options = [word for limit in limits for word in ("--limit", limit)]
    return Client(gateway, gateway.create_key(name, *options))


def test_limits_are_told_with_what_is_used_and_when_they_reset(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=7), model=model)
    specs = (
        "requests=5/minute",
        "tokens=100k/day",
        "cost=2.5/month",
        "parallel=3",
        "requests=9/total:shadow",
    )
    bob = key_with(gateway, f"bob-{model}", *specs)
    answer = bob.chat(model)
    told = limits_of(bob)
    assert set(told) == {"requests/minute", "tokens/day", "cost/month", "parallel/None", "requests/total"}
    minute = told["requests/minute"]
    assert (minute["limit"], minute["used"], minute["remaining"]) == (5, 1, 4)
    assert minute["resets_at"]
    [row] = gateway.usage(1, answer.request_id)
    assert told["tokens/day"]["used"] == row["prompt_tokens"] + row["completion_tokens"] > 0
    assert (told["cost/month"]["limit"], told["cost/month"]["used"]) == ("2.5", "0")
    assert told["parallel/None"]["used"] == 0
    assert told["requests/total"]["mode"] == "shadow"


def test_what_was_spent_is_told_by_day_and_model(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}")
    answer = bob.chat(model)
    gateway.usage(1, answer.request_id)
    told = usage_of(bob, "?days=2")["spend"]
    assert isinstance(told, dict)
    [day] = told["days"]
    assert (day["model"], day["requests"]) == (model, 1)
    assert day["tokens"] > 0
    assert told["cost"] == "0"


def test_nothing_of_other_keys_is_told(gateway: Gateway, model: str) -> None:
    bob, carol = key_with(gateway, f"bob-{model}", "requests=5/day"), key_with(gateway, f"carol-{model}")
    gateway.usage(1, bob.chat(model).request_id)
    told = usage_of(carol)
    assert told["limits"] == []
    assert told["key"] != usage_of(bob)["key"]
    assert told["spend"] == usage_of(carol)["spend"]
    assert model not in str(told["spend"])


def test_without_a_key_nothing_is_told(gateway: Gateway) -> None:
    assert Client(gateway, "sk-wrong").send("GET", "/v1/usage").status == 401


def test_days_that_are_no_number_are_an_error(alice: Client) -> None:
    for days in ("0", "x", "9999", "-1", "0000019999999", "%D9%A3"):
        answer = alice.send("GET", f"/v1/usage?days={days}")
        assert (answer.status, answer.error["param"]) == (400, "days")


def test_of_people_whom_the_key_never_named_nothing_is_told(gateway: Gateway, model: str) -> None:
    bob, carol = key_with(gateway, f"bob-{model}"), key_with(gateway, f"carol-{model}")
    code = (
        "from keys.models import EndUser, Limit; "
        f"zoe = EndUser.objects.create(name='zoe-{model}'); "
        "Limit.objects.create(end_user=zoe, metric='requests', amount=5, window='day')"
    )
    gateway.manage("shell", "-c", code)
    gateway.usage(1, bob.chat(model, user=f"zoe-{model}").request_id)
    deadline = time.monotonic() + 5
    while not limits_of(bob, f"?end_user=zoe-{model}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert limits_of(bob, f"?end_user=zoe-{model}")["requests/day"]["limit"] == 5
    assert limits_of(carol, f"?end_user=zoe-{model}") == {}
