"""A webhook is posted to once, where the policy on destinations allows it, and nowhere else."""

import logging
import socket

import pytest
from django.conf import LazySettings

from tests.services import free_port
from tests.usage.mailroom import webhook_sink
from usage import webhook
from usage.webhook import Undelivered


@pytest.fixture
def _loopback_allowed(settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["127.0.0.1"]


@pytest.mark.usefixtures("_loopback_allowed")
def test_it_is_posted_as_json_under_the_name_of_its_host() -> None:
    with webhook_sink() as sink:
        webhook.post(sink.url.replace("127.0.0.1", "localhost"), {"event": "test"})
    assert sink.bodies == [{"event": "test"}]
    assert sink.hosts[0].startswith("localhost:")


@pytest.mark.usefixtures("_loopback_allowed")
@pytest.mark.parametrize("status", [400, 404, 500])
def test_an_answer_that_is_no_success_is_a_failure(status: int) -> None:
    with webhook_sink() as sink:
        sink.status = status
        with pytest.raises(Undelivered, match=f"answered {status}"):
            webhook.post(sink.url, {})


@pytest.mark.usefixtures("_loopback_allowed")
def test_a_redirect_is_not_followed() -> None:
    with webhook_sink() as elsewhere, webhook_sink() as sink:
        sink.status, sink.location = 307, elsewhere.url
        with pytest.raises(Undelivered, match="answered 307"):
            webhook.post(sink.url, {})
    assert elsewhere.bodies == []


def test_a_private_address_that_nobody_allowed_gets_nothing() -> None:
    with webhook_sink() as sink, pytest.raises(Undelivered, match="ALLOWED_PRIVATE_UPSTREAMS"):
        webhook.post(sink.url, {})
    assert sink.bodies == []


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "2852039166", "[::ffff:169.254.169.254]"]
)
def test_metadata_addresses_get_nothing_even_when_they_are_listed(settings: LazySettings, host: str) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["0.0.0.0/0", "::/0"]
    with pytest.raises(Undelivered, match="metadata"):
        webhook.post(f"http://{host}/latest", {})


@pytest.mark.usefixtures("_loopback_allowed")
def test_a_name_is_resolved_once_and_that_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with webhook_sink() as sink:
        port = int(sink.url.split(":")[2].split("/")[0])

        def rebound(host: str, *_: object, **__: object) -> list[object]:
            asked.append(host)
            address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr("usage.webhook.socket.getaddrinfo", _but_not_numbers(rebound))
        webhook.post(f"http://hooks.example:{port}/", {"a": 1})
    assert asked == ["hooks.example"]
    assert sink.bodies == [{"a": 1}]


@pytest.mark.usefixtures("_loopback_allowed")
def test_the_reason_never_holds_the_address_with_its_secrets() -> None:
    with pytest.raises(Undelivered) as failure:
        webhook.post(f"http://127.0.0.1:{free_port()}/hooks/secret", {})
    assert "secret" not in str(failure.value)


@pytest.mark.usefixtures("_loopback_allowed")
def test_no_log_holds_the_address_with_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook_sink() as sink:
        webhook.post(sink.url, {})
    assert len(sink.bodies) == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["chat.example.com/hook", "ftp://chat.example.com", "https://", "https://h:0", "https://h:99999",
     "https://alice:pw@h/", "https://h/a b", "https://h/ü", "http://[::1"],
)  # fmt: skip
def test_what_is_no_address_of_a_webhook_is_told_at_the_start(url: str) -> None:
    assert webhook.problem(url)
    assert not webhook.problem("https://chat.example.com:8443/hooks/abc?token=1")


def _but_not_numbers(rebound: object) -> object:
    """Names alone are looked up; of an address the system says what it is."""
    real = socket.getaddrinfo

    def look_up(host: str, *args: object, **kwargs: object) -> object:
        if host[:1].isdigit():
            return real(host, *args, **kwargs)  # type: ignore[arg-type]
        return rebound(host, *args, **kwargs)  # type: ignore[operator]

    return look_up
