"""Which upstreams are connected to, by which address, and with which certificate."""

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.connection import (
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DestinationRefused,
    UpstreamError,
    is_header,
)
from providers.transport import Transport
from tests.providers.raw_provider import (
    BODY,
    PLAIN,
    MiB,
    Provider,
    asking,
    body_of,
)

# --- connecting --------------------------------------------------------------------------------


async def test_a_refused_connection_is_a_failure_to_connect(transport: Transport) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectFailed, match="cannot connect to"):
        await transport.ask(asking("127.0.0.1", port))


async def test_a_server_that_never_accepts_is_given_up_in_time() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        transport, began = Transport(connect_timeout=0.2), asyncio.get_running_loop().time()
        with pytest.raises(ConnectFailed, match=r"within 0\.2 s"):
            await transport.ask(asking("127.0.0.1", port))
        assert asyncio.get_running_loop().time() - began < 1
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "llm.invalid"])
async def test_what_is_no_host_is_a_failure_to_connect(host: str, transport: Transport) -> None:
    with pytest.raises(ConnectFailed):
        await transport.ask(asking(host, 80))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "::1", "0x7f.1"])
async def test_a_loopback_host_is_refused_however_it_is_spelt(
    host: str, transport: Transport, provider: Provider
) -> None:
    with pytest.raises(DestinationRefused):
        await transport.ask(asking(host, provider.port, confirmed=False))
    assert provider.connections == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0.0.0.0", "0"])
async def test_a_forbidden_host_is_refused_though_it_is_confirmed(host: str, transport: Transport) -> None:
    with pytest.raises(DestinationRefused):
        await transport.ask(asking(host, 80))


async def test_a_name_is_resolved_when_connecting_and_tried_address_by_address(
    transport: Transport, provider: Provider
) -> None:
    provider.replies.append(PLAIN)  # listens on 127.0.0.1 only; `localhost` may be ::1 as well
    answer = await transport.ask(asking("localhost", provider.port))
    assert await answer.body(MiB) == BODY
    assert b"host: localhost:%d" % provider.port in provider.requests[0]
    answer.close()


async def test_a_connection_made_with_a_confirmation_serves_none_without(
    transport: Transport, provider: Provider
) -> None:
    assert await body_of(transport, provider, PLAIN) == BODY
    with pytest.raises(DestinationRefused):
        await transport.ask(asking("127.0.0.1", provider.port, confirmed=False))


# --- TLS ---------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """The server's side of a new self-signed certificate of 127.0.0.1; its file is `name`.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.pem").write_bytes(text)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


async def over_tls(folder: Path, host: str, trusted: str | None) -> list[bytes]:
    """The bodies of two requests to a TLS server, trusting the certificate of this name alone."""
    played = Provider()
    played.replies = [PLAIN, PLAIN]
    server = await asyncio.start_server(played.talk, "127.0.0.1", 0, ssl=certificate(folder, "server"))
    port = server.sockets[0].getsockname()[1]
    if trusted == "other":
        certificate(folder, "other")
    tls = ssl.create_default_context(cafile=folder / f"{trusted}.pem") if trusted else None
    transport, bodies = Transport(connect_timeout=2, rest_seconds=0, tls=tls), []
    try:
        for _ in range(2):
            answer = await transport.ask(asking(host, port, scheme="https"))
            bodies.append(await answer.body(MiB))
            answer.close()
    finally:
        transport.close()
        server.close()
    assert played.connections == 1
    return bodies


async def test_a_trusted_certificate_is_accepted_and_its_connection_reused(tmp_path: Path) -> None:
    assert await over_tls(tmp_path, "127.0.0.1", trusted="server") == [BODY, BODY]


@pytest.mark.parametrize("trusted", [None, "other"])
async def test_a_self_signed_certificate_is_refused(tmp_path: Path, trusted: str | None) -> None:
    with pytest.raises(ConnectFailed, match="failed: CERTIFICATE_VERIFY_FAILED"):
        await over_tls(tmp_path, "127.0.0.1", trusted)


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConnectFailed, match="TLS with localhost failed"):
        await over_tls(tmp_path, "localhost", trusted="server")


async def test_a_server_that_speaks_no_tls_is_a_failure_to_connect(
    transport: Transport, provider: Provider
) -> None:
    with pytest.raises(ConnectFailed):
        await transport.ask(replace(asking("127.0.0.1", provider.port, scheme="https"), connect_timeout=0.5))


# --- what can be sent --------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["two\r\nlines", "a\nb", "a\0b", "ä", "…", 7, None])
def test_what_cannot_stand_in_a_header_is_known(value: object) -> None:
    assert is_header(("x-title", "Us"))
    assert not is_header(("x-title", value))
    assert not is_header(("x title", "Us"))


def test_every_error_has_a_class_of_its_own() -> None:
    kinds: set[type[UpstreamError]]
    kinds = {ConnectFailed, DestinationRefused, ConnectionLost, BadAnswer, UpstreamError}
    assert len({kind.error_class for kind in kinds}) == len(kinds)
