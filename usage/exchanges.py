"""The one writer of exchanges: prompts and answers, redacted before they are stored."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import DataError, IntegrityError
from django.db.models import Q

from usage import redaction
from usage.drafts import Draft, fit, text_of
from usage.ids import first_uuid7, unix_ms
from usage.models import Exchange, RedactionRule
from usage.redaction import WITHHELD, Rule, TooSlow

log = logging.getLogger(__name__)

# Rows wait for it: seconds for all of a batch, and for one text after that was too long.
_ALL_SECONDS, _ONE_SECONDS, _MOST_SECONDS = 2.0, 0.3, 3.0
_BATCH = 200
_DELETE_BATCH = 500
_PAUSE = 0.05


def write(drafts: Sequence[Draft]) -> None:
    """Store these once, however often they come. Raises `django.db.Error` when the database is away."""
    for start in range(0, len(drafts), _BATCH):
        _write_some(drafts[start : start + _BATCH])


def _write_some(drafts: Sequence[Draft]) -> None:
    enabled = RedactionRule.objects.filter(enabled=True).order_by("pk")
    rules = list(enabled.values_list("pattern", "replacement"))
    texts = _redacted([text_of(side) for draft in drafts for side in (draft.request, draft.answer)], rules)
    rows = [
        _row(draft, request, answer)
        for draft, request, answer in zip(drafts, texts[::2], texts[1::2], strict=True)
    ]
    try:
        Exchange.objects.bulk_create(rows, ignore_conflicts=True)
    except (DataError, IntegrityError, ValueError) as error:
        if len(drafts) == 1:
            log.error("exchange_rejected attempt=%s error=%s", drafts[0].attempt_id, type(error).__name__)
            return
        half = len(drafts) // 2
        _write_some(drafts[:half])
        _write_some(drafts[half:])


def _redacted(texts: list[str], rules: Sequence[Rule]) -> list[str]:
    """Redacted, or withheld where that took too long: nothing is stored as it came while rules hold."""
    if not rules:
        return texts
    try:
        return redaction.apart(texts, rules, _ALL_SECONDS)
    except TooSlow:
        log.error("redaction_too_slow texts=%d", len(texts))
    except OSError as error:
        log.error("redaction_failed error=%s", error)
        return [WITHHELD] * len(texts)
    ends_at = time.monotonic() + _MOST_SECONDS
    return [_alone(text, rules) if time.monotonic() < ends_at else WITHHELD for text in texts]


def _alone(text: str, rules: Sequence[Rule]) -> str:
    try:
        return redaction.apart([text], rules, _ONE_SECONDS)[0]
    except (TooSlow, OSError):
        return WITHHELD


def _row(draft: Draft, request: str, answer: str) -> Exchange:
    made = datetime.fromtimestamp(unix_ms(draft.attempt_id) / 1000, UTC)
    return Exchange(
        attempt_id=draft.attempt_id,
        request_id=draft.request_id[:128],
        key=draft.key[:120],
        key_id=draft.key_id[:40],
        team=draft.team[:120],
        model=draft.model[:200],
        stream=draft.stream,
        complete=draft.complete,
        request=fit(request, draft.most, draft.request_bytes),
        request_bytes=draft.request_bytes,
        answer=fit(answer, draft.most, draft.answer_bytes),
        answer_bytes=draft.answer_bytes,
        delete_after=made + timedelta(draft.days) if draft.days else None,
        chat_id=draft.chat_id and draft.chat_id[:128],
    )


def delete_old(days: int, now: datetime | None = None) -> int:
    """Delete what is past its own time, or older than `days` (0: for ever) where it has none; how many."""
    moment = now or datetime.now(UTC)
    old = Q(delete_after__lt=moment)
    if 0 < days < 36500:
        old |= Q(delete_after__isnull=True, attempt_id__lt=first_uuid7(moment - timedelta(days)))
    return delete(old)


def delete(which: Q) -> int:
    """Delete these in batches, others write between two of them; how many there were."""
    deleted, found = 0, Exchange.objects.filter(which).order_by().values_list("pk", flat=True)
    while some := list(found[:_DELETE_BATCH]):
        deleted += Exchange.objects.filter(pk__in=some).delete()[0]
        time.sleep(_PAUSE)
    return deleted
