"""One POST of JSON to where an operator wants it: bounded in time, and no way around the destinations."""

import ipaddress
import socket
from urllib.parse import urlsplit

import httpx2
import msgspec

from providers.destinations import Refused, check_address

_TIMEOUT = httpx2.Timeout(10.0, connect=3.0)


class Undelivered(Exception):
    """The other side did not take it; the message says why, without the address."""


def post(url: str, payload: object) -> None:
    """Send it once; no redirect is followed. Raises `Undelivered`."""
    try:
        status = _status(httpx2.URL(url), msgspec.json.encode(payload))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from None
    except Refused as refusal:
        raise Undelivered(str(refusal)) from None
    if not 200 <= status < 300:
        raise Undelivered(f"it answered {status}")


def problem(url: str) -> str:
    """What is wrong with such an address, or ""."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"{error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "it begins with http:// or https:// and a host"
    if parts.username or parts.password or not url.isascii() or not url.isprintable() or " " in url:
        return "it holds a user name, a space or a character that is not ASCII"
    return ""


def _status(url: httpx2.URL, body: bytes) -> int:
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _allowed_address(url.host, port)
    headers = {"host": url.netloc.decode("ascii"), "content-type": "application/json"}
    # The very address that was checked; the certificate is still that of the name.
    with (
        httpx2.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False) as client,
        client.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={**headers, "user-agent": "switchyard"},
            extensions={"sni_hostname": url.host},
        ) as answer,
    ):
        return int(answer.status_code)


def _allowed_address(host: str, port: int) -> str:
    """The first address of the host that the policy allows. Raises `Refused`, or OSError without any."""
    refusal = None
    for *_, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = str(found[0])
        try:
            check_address(host, address, port, confirmed=False)
        except Refused as error:
            refusal = error
        else:
            return str(ipaddress.ip_address(address.partition("%")[0]))
    assert refusal is not None, "a resolver's answer has at least one address"
    raise refusal
