"""A furnished gateway for tests of the console: a provider, models, keys and usage."""

from datetime import UTC, datetime, timedelta
from random import getrandbits
from typing import Any
from uuid import UUID

from keys.issuing import issue
from keys.models import ApiKey, EndUser, Limit, Member, Team
from providers.models import Deployment, Fallback, Model, Price, Provider
from usage.ids import first_uuid7
from usage.models import Attempt, DailyUsage, DirtyHour, HourlyUsage, LimitAlert


def provider(name: str = "OpenAI", **fields: Any) -> Provider:
    return Provider.objects.create(name=name, **{"base_url": "https://api.openai.com/v1", **fields})


def deployment(name: str, of: Provider, model: Model, **fields: Any) -> Deployment:
    return Deployment.objects.create(
        name=name, provider=of, model=model, **{"upstream_model": "gpt-4o", **fields}
    )


def attempt(number: int, **fields: Any) -> Attempt:
    """The attempt of Bob's request `req-<number>`, that many seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=number)
    given = {
        "attempt_id": first_uuid7(at),
        "request_id": f"req-{number}",
        "started_at": at,
        "key": "bob",
        "key_id": "id-bob",
        "model": "llm",
        "deployment": "llm-a",
        "provider": "OpenAI",
        "endpoint": "chat/completions",
        "status": "ok",
    }
    return Attempt.objects.create(**(given | fields))


def asked(number: int, minutes_ago: float = 30, **fields: Any) -> None:
    """So many requests of Bob at one moment, as the ledger writes them: their hour is marked as changed."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    for _ in range(number):
        one = UUID(int=first_uuid7(at).int | getrandbits(60))
        attempt(0, **{"attempt_id": one, "request_id": str(one), "started_at": at, **fields})
    DirtyHour.objects.get_or_create(hour=at.replace(minute=0, second=0, microsecond=0))


def hour(hours_ago: int = 0, **fields: Any) -> HourlyUsage:
    """Ten answered requests of Alice to `llm`, rolled up."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    return HourlyUsage.objects.create(**({"hour": at} | _TEN_REQUESTS | fields))


def day(days_ago: int = 0, **fields: Any) -> DailyUsage:
    """Ten answered requests of Alice to `llm`, rolled up."""
    at = (datetime.now(UTC) - timedelta(days=days_ago)).date()
    return DailyUsage.objects.create(**({"day": at} | _TEN_REQUESTS | fields))


_TEN_REQUESTS: dict[str, Any] = {
    "key": "alice",
    "key_id": "id-alice",
    "model": "llm",
    "status": "ok",
    "requests": 10,
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "cost_nano": 0,
    "latency_ms": 5000,
}


def furnish(number: int) -> ApiKey:
    """One more of everything, all related to each other."""
    at = provider(f"provider-{number}")
    model = Model.objects.create(name=f"model-{number}")
    Price.objects.create(deployment=deployment(f"deployment-{number}", at, model), input=number)
    larger, _ = Model.objects.get_or_create(name="larger")
    Fallback.objects.create(model=model, to=larger)
    team = Team.objects.create(name=f"team-{number}")
    member = Member.objects.create(team=team, name="Alice")
    key, _ = issue(f"key-{number}", team=team, models=[model])
    ApiKey.objects.filter(pk=key.pk).update(member=member)
    end_user = EndUser.objects.create(name=f"end-user-{number}")
    Limit.objects.create(key=key, metric="tokens", amount=1000, model=model)
    Limit.objects.create(team=team, metric="requests", amount=5)
    monthly = Limit.objects.create(end_user=end_user, metric="cost", amount=10**9, window="month")
    now = datetime.now(UTC)
    LimitAlert.objects.create(limit=monthly, window_start=now, noticed_at=now, percent=50, used=1, amount=2)
    Limit.objects.create(deployment=model.deployments.get(), metric="tokens", amount=9)
    Limit.objects.create(model=model, metric="requests", amount=7, each_end_user=True)
    attempt(number, key_id=key.public_id)
    hour(key_id=key.public_id, model=model.name)
    day(key_id=key.public_id, model=model.name, end_user=end_user.name)
    return key
