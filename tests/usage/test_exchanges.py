"""An exchange comes through the journal whole, is cut to size, and goes when its time is over."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.usage.rows import Asked, asked
from usage import exchanges, segments
from usage.adoption import adopt_all
from usage.drafts import MARGIN, Draft, fit, gather, pack
from usage.frames import decode
from usage.journal import Journal
from usage.ledger import write
from usage.models import Attempt, Exchange, RedactionRule
from usage.records import Kept
from usage.redaction import WITHHELD

MOST = 1000


def draft_of(
    one: Asked, request: bytes = b'{"a":1}', answer: bytes = b"{}", days: int | None = None
) -> Draft:
    return Draft(
        attempt_id=one.attempt_id,
        request_id="req-1",
        key=one.key,
        key_id=f"id-{one.key}",
        team="",
        model=one.model,
        stream=False,
        complete=True,
        days=days,
        most=200_000,
        request=request,
        request_bytes=len(request),
        answer=answer,
        answer_bytes=len(answer),
    )


@pytest.fixture
def emptied(ledger_db: str) -> None:
    Exchange.objects.all().delete()


def test_pieces_are_gathered_across_windows(
    sqlite_ledger: str, journal_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "WINDOW", 70_000)
    journal, found = Journal(journal_root), []
    drafts = [draft_of(asked(), bytes([65 + n]) * 150_000) for n in range(3)]
    for draft in drafts:
        journal.kept(pack(draft))
    [segment] = journal.segments()
    reading = segments.Reading()
    while (window := reading.window(segment.path, segment.size, final=False)) is not None:
        found += window.drafts
        reading.passed(window)
    journal.close()
    assert found == drafts


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damage_costs_only_the_exchanges_it_hits(data: st.DataObject) -> None:
    drafts = [draft_of(asked(), b"x" * 60_000) for _ in range(3)]
    pieces = [record for draft in drafts for record in decode(pack(draft), final=True).records]
    lost = data.draw(st.sets(st.integers(0, len(pieces) - 1)))
    left = [p for n, p in enumerate(pieces) if n not in lost and isinstance(p, Kept)]
    hit = {pieces[n].attempt_id for n in lost}
    assert gather(left)[0] == [draft for draft in drafts if draft.attempt_id not in hit]


def test_the_dead_leave_their_exchanges_to_the_living(emptied: None, journal_root: Path) -> None:
    journal, one = Journal(journal_root), asked("alice")
    journal.started(one.started())
    journal.kept(pack(draft_of(one, b'{"said":"hi"}')))
    journal.settled(one.settled())
    journal.started(asked("bob").started())
    journal.rotate()
    os.close(journal._lock_fd)  # as kill -9 leaves it
    assert adopt_all(journal_root, write) == 1
    assert Exchange.objects.get().request == '{"said":"hi"}'
    assert Attempt.objects.count() == 2


def test_the_same_exchange_twice_is_one(emptied: None) -> None:
    draft = draft_of(asked())
    exchanges.write([draft])
    exchanges.write([draft, msgspec.structs.replace(draft, answer=b"other")])
    assert Exchange.objects.get().answer == "{}"


def test_any_bytes_are_stored_as_text(emptied: None) -> None:
    exchanges.write([draft_of(asked(), b"\xff\x00 \xed\xa0\x80", b'{"a":"\\ud800"}')])
    assert "�" in Exchange.objects.get().request


def test_rules_that_take_too_long_withhold_the_text(emptied: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "_ALL_SECONDS", 0.2)
    RedactionRule.objects.create(name="bad", pattern="(a+)+b", enabled=True)
    try:
        exchanges.write([draft_of(asked(), b"a" * 60, b"plain")])
    finally:
        RedactionRule.objects.filter(name="bad").delete()
    row = Exchange.objects.get()
    assert (row.request, row.answer) == (WITHHELD, "plain")


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=400), repeat=st.integers(1, 20))
def test_a_cut_text_is_valid_not_too_long_and_says_so(text: str, repeat: int) -> None:
    whole = (text * repeat).encode("utf-8", "replace")
    side = whole[: MOST + MARGIN].decode("utf-8", "replace")
    kept = fit(side, MOST, len(whole))
    assert len(kept.encode()) <= MOST + 60
    assert ("[cut off here" in kept) == (len(whole) > MOST or "[cut off here" in text)
    if len(whole) <= MOST:
        assert kept == whole.decode()


def test_what_lies_across_the_cut_is_dropped_when_redaction_shortens() -> None:
    redacted = "x" * 300 + "half-a-secr"  # from a text that was cut after MOST + MARGIN bytes
    assert "half" not in fit(redacted, MOST, 50_000)


def test_each_goes_when_its_own_time_is_over(emptied: None) -> None:
    now = datetime.now(UTC)
    for days_ago, days in ((31, None), (31, 60), (5, 3), (5, None)):
        exchanges.write(
            [draft_of(asked(at=now - timedelta(days_ago)), f"{days_ago}/{days}".encode(), days=days)]
        )
    assert exchanges.delete_old(30) == 2
    assert sorted(Exchange.objects.values_list("request", flat=True)) == ["31/60", "5/None"]
    assert exchanges.delete_old(0) == 0


def test_a_draft_of_the_version_without_chats_is_read() -> None:
    draft = draft_of(asked())
    values = msgspec.msgpack.decode(msgspec.msgpack.encode(draft))[:-1]
    kept = Kept(draft.attempt_id, 0, 1, msgspec.msgpack.encode(values))
    assert gather([kept]) == ([draft], [])
