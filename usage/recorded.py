"""The ledger's rows for a replay, in the order of their ids and in pages by key: memory stays flat."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from providers import decisions
from usage.ids import first_uuid7, unix_ms
from usage.models import Attempt
from usage.pricing import Used
from usage.replaying import Recorded
from usage.reports import Period

_PAGE = 5000
_USED = (
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("audio_input_tokens", "audio_output_tokens", "images", "audio_seconds", "characters"),
)
_FIELDS = (
    *("attempt_id", "request_id", "key_id", "model", "deployment", "attempt_number", "status"),
    *("endpoint", "http_status", "error_class", "cost_nano", "ttft_ms", "latency_ms", "decision"),
    *_USED,
)


def rows(period: Period) -> Iterator[Recorded]:
    """All attempts and refusals of this time."""
    found = Attempt.objects.order_by("attempt_id")
    if period.until is not None:
        found = found.filter(attempt_id__lt=first_uuid7(period.until))
    last = None if period.since is None else UUID(int=first_uuid7(period.since).int - 1)
    while True:
        page = found if last is None else found.filter(attempt_id__gt=last)
        values = list(page.values_list(*_FIELDS)[:_PAGE])
        if not values:
            return
        last = values[-1][0]
        yield from map(_recorded, values)


def _recorded(values: tuple[Any, ...]) -> Recorded:
    (
        attempt_id, request_id, key_id, model, deployment, number, status,
        endpoint, http_status, error_class, cost_nano, ttft_ms, latency_ms, decision, *used,
    ) = values  # fmt: skip
    return Recorded(
        at_ms=unix_ms(attempt_id),
        request_id=request_id,
        key_id=key_id,
        model=model,
        deployment=deployment,
        number=number,
        status=status,
        endpoint=endpoint,
        http_status=http_status,
        error_class=error_class,
        used=Used(*[count or 0 for count in used]),
        cost_nano=cost_nano,
        ttft_ms=ttft_ms,
        latency_ms=latency_ms,
        decision=decisions.decoded(decision),
    )
