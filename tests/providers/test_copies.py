"""Copies on disk: sealed, whole, of one database, and never a reason not to start."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings
from structlog.testing import capture_logs

from providers import copies as module
from providers.copies import Copies

BODY = b'{"Provider": "https://llm.example"}'


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    made = Copies(tmp_path / "copies", "here")
    with made.alone() as alone:
        assert alone
        made.write("configuration", BODY, version=7, seen=frozenset({1, 2}))
    return made


def path(copies: Copies) -> Path:
    return copies.folder / "configuration"


def test_what_was_written_is_read(copies: Copies) -> None:
    copy = copies.read("configuration")
    assert copy is not None
    assert (copy.body, copy.head.version, copy.head.seen) == (BODY, 7, frozenset({1, 2}))
    assert copies.head("configuration") == copy.head
    assert copies.read("keys") is None


def test_nobody_else_may_read_it_and_without_the_key_it_tells_nothing(copies: Copies) -> None:
    assert stat.S_IMODE(path(copies).stat().st_mode) == 0o600
    assert stat.S_IMODE(copies.folder.stat().st_mode) == 0o700
    assert b"llm.example" not in path(copies).read_bytes()
    assert sorted(os.listdir(copies.folder)) == ["configuration", "lock"]


def test_a_later_one_takes_its_place_whole(copies: Copies) -> None:
    before = path(copies).open("rb")
    with copies.alone():
        copies.write("configuration", BODY * 2, version=8)
    with before:
        assert b'"version":7' in before.readline()
    assert copies.read("configuration").body == BODY * 2  # type: ignore[union-attr]


def test_only_one_worker_writes_at_a_time(copies: Copies) -> None:
    with copies.alone() as first, copies.alone() as second:
        assert (first, second) == (True, False)
    with copies.alone() as third:
        assert third


def damage(change: Callable[[bytes], bytes]) -> Callable[[Copies, LazySettings], None]:
    def apply(copies: Copies, settings: LazySettings) -> None:
        path(copies).write_bytes(change(path(copies).read_bytes()))

    return apply


def older(copies: Copies, settings: LazySettings) -> None:
    line, _, sealed = path(copies).read_bytes().partition(b"\n")
    path(copies).write_bytes(line.replace(b'"format":1', b'"format":0') + b"\n" + sealed)


def foreign(copies: Copies, settings: LazySettings) -> None:
    with copies.alone():
        replace(copies, database="elsewhere").write("configuration", BODY)


def of_another_key(copies: Copies, settings: LazySettings) -> None:
    settings.SECRET_KEY = "another"


def of_another_kind(copies: Copies, settings: LazySettings) -> None:
    with copies.alone():
        copies.write("keys", BODY)
    (copies.folder / "keys").rename(path(copies))


def changed_head(copies: Copies, settings: LazySettings) -> None:
    text = path(copies).read_bytes()
    path(copies).write_bytes(text.replace(b'"version":7', b'"version":9'))


def folder(copies: Copies, settings: LazySettings) -> None:
    path(copies).unlink()
    path(copies).mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(damage(lambda text: b""), "no copy", id="empty"),
        pytest.param(damage(lambda text: text[:20]), "no copy", id="cut in its head"),
        pytest.param(damage(lambda text: text[:-5]), "damaged", id="cut at its end"),
        pytest.param(damage(lambda text: text.partition(b"\n")[0]), "key that", id="head alone"),
        pytest.param(damage(lambda text: text[:-1] + bytes([text[-1] ^ 1])), "damaged", id="one bit"),
        pytest.param(damage(lambda text: b"\xff\x00" * 500), "no copy", id="rubbish"),
        pytest.param(damage(lambda text: b'{"format":1}\n' + text), "no copy", id="another head"),
        pytest.param(damage(lambda text: b'[1]\n' + text), "no copy", id="a list"),
        (older, "format 0"),
        (foreign, "another database"),
        (of_another_key, "key that this installation does not have"),
        (of_another_kind, "another"),
        (changed_head, "damaged"),
        (folder, "directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_left_alone_and_the_log_says_why(
    copies: Copies, settings: LazySettings, spoil: Callable[[Copies, LazySettings], None], reason: str
) -> None:
    spoil(copies, settings)
    with capture_logs() as logs:
        assert copies.read("configuration") is None
    assert [entry["event"] for entry in logs] == ["copy_ignored"]
    assert reason in logs[0]["reason"]


def test_one_of_long_ago_is_not_used(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert copies.head("configuration") is None
    with capture_logs() as logs:
        assert copies.read("configuration") is None
    assert logs[0]["reason"] == "it was written 31 days ago"


def test_a_draft_that_a_killed_worker_left_does_no_harm(copies: Copies) -> None:
    (copies.folder / "configuration.new").write_bytes(b"half")
    assert copies.read("configuration") is not None
    with copies.alone():
        copies.write("configuration", BODY, version=8)
    assert copies.head("configuration").version == 8  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_sqlite_needs_none(settings: LazySettings) -> None:
    assert module.copies() is None
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "a", "HOST": "h"}}
    one = module.copies()
    settings.DATABASES["default"]["NAME"] = "b"
    assert one is not None
    assert one != module.copies()
