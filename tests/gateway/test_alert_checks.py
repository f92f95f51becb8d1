"""Settings of alerts that could never reach anybody are told at the start, not when a limit is used up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

from gateway.checks import TAG

ROOT = Path(__file__).resolve().parent.parent.parent


def ids() -> list[str]:
    found = run_checks(tags=[TAG])
    assert all(message.hint for message in found)
    return [str(message.id).removeprefix("switchyard.") for message in found]


@pytest.fixture
def _mail(settings: LazySettings) -> None:
    settings.EMAIL_URL = "smtp://mail.example.com"
    settings.ALERT_FROM = "switchyard@example.com"
    settings.ALERT_EMAILS = ["alice@example.com", "bob@example.com"]


@pytest.mark.usefixtures("_mail")
def test_a_mail_server_a_sender_and_people_are_enough() -> None:
    assert ids() == []


@pytest.mark.usefixtures("_mail")
@pytest.mark.parametrize("address", ["", "alice", "alice@", "a b@example.com"])
def test_an_address_that_is_none(settings: LazySettings, address: str) -> None:
    settings.ALERT_EMAILS = [address]
    assert ids() == ["E009"]
    settings.ALERT_EMAILS, settings.ALERT_FROM = [], address
    assert ids() == ["E009"]


@pytest.mark.usefixtures("_mail")
def test_people_and_no_mail_server(settings: LazySettings) -> None:
    settings.EMAIL_URL = ""
    assert ids() == ["E009"]


def test_a_webhook_that_is_no_url(settings: LazySettings) -> None:
    settings.ALERT_WEBHOOK_URL = "chat.example.com/hooks"
    assert ids() == ["E010"]
    settings.ALERT_WEBHOOK_URL = "https://chat.example.com/hooks?token=1"
    assert ids() == []


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("", "dummy localhost 25 False False -"),
        ("smtp://mail", "smtp mail 25 False False -"),
        ("smtp+tls://alice%40b.c:p%2Fw@mail", "smtp mail 587 True False alice@b.c:p/w"),
        ("smtp+ssl://mail:4650", "smtp mail 4650 False True -"),
    ],
)
def test_the_mail_server_is_read_from_its_url(url: str, server: str) -> None:
    assert _server(url) == (0, server)


@pytest.mark.parametrize("url", ["mail.example.com", "console://", "smtp://mail:port"])
def test_what_is_no_mail_server_is_one_clear_line(url: str) -> None:
    code, told = _server(url)
    assert code != 0
    assert told.startswith("django.core.exceptions.ImproperlyConfigured: EMAIL_URL: ")


def _server(url: str) -> tuple[int, str]:
    """How the settings read the URL in a process of their own; its last line."""
    script = (
        "from gateway import settings as s; "
        "account = ':'.join(filter(None, (s.EMAIL_HOST_USER, s.EMAIL_HOST_PASSWORD))) or '-'; "
        "kind = s.EMAIL_BACKEND.split('.')[-2]; "
        "print(kind, s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_USE_TLS, s.EMAIL_USE_SSL, account)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "EMAIL_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, (run.stdout or run.stderr).strip().splitlines()[-1]
