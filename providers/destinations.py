"""Which addresses the gateway may connect to: one policy, asked when saving and when connecting."""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Instance metadata of clouds, beside the link-local ranges: never a model.
METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata", "instance-data", "metadata.azure.com"})
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SHARED = ipaddress.ip_network("100.64.0.0/10")


class Refused(Exception):
    """A destination that the policy forbids; the message says why and what to do."""


def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]").split("%")[0])
    except ValueError:
        return None


def _spelled(host: str) -> str:
    """The address that a URL's host stands for without any look-up, or "".

    Resolvers take the old spellings of IPv4 too: 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    if _parsed(host) is not None:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return ""


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _never(address: Address) -> str:
    """Why nobody may ever connect here, or ""."""
    if address in METADATA_ADDRESSES or address.is_link_local:
        return "is a metadata or link-local address"
    if address.is_unspecified or address.is_multicast:
        return "is not an address of a server"
    if address.is_reserved and not address.is_loopback and not address.is_private:
        return "is a reserved address"
    return ""


def _is_private(address: Address) -> bool:
    if address.version == 4:
        return address.is_private or address in _SHARED
    return address.is_private or address.is_site_local


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def host_key(base_url: str) -> str:
    """`host:port` of a base URL: what a confirmation is bound to."""
    parts = urlsplit(base_url)
    return f"{(parts.hostname or '').lower()}:{_port(parts)}"


def is_confirmed(base_url: str, confirmed_host: str) -> bool:
    """Whether an operator allowed exactly this host and port."""
    try:
        return bool(confirmed_host) and confirmed_host == host_key(base_url)
    except ValueError:
        return False


def _allowed_by_setting(host: str, address: Address, port: int) -> bool:
    for entry in map(str.strip, settings.ALLOWED_PRIVATE_UPSTREAMS):
        target, _, entry_port = entry.rpartition(":") if _has_port(entry) else (entry, "", "")
        if entry_port and int(entry_port) != port:
            continue
        if target.lower() == host.lower():
            return True
        try:
            if address in ipaddress.ip_network(target.strip("[]"), strict=False):
                return True
        except ValueError:
            continue  # a host name, and not this one
    return False


def _has_port(entry: str) -> bool:
    """`host:8000`, `10.0.0.0/8:8000` and `[::1]:8000` name a port; `fd00::/8` does not."""
    head, colon, tail = entry.rpartition(":")
    return bool(colon) and tail.isdigit() and (":" not in head or head.endswith("]"))


def check_address(host: str, address_text: str, port: int, confirmed: bool) -> None:
    """Raise `Refused` unless the policy lets the gateway connect to this address for this host."""
    address = _parsed(address_text)
    if address is None:
        raise Refused(f"{host}: {address_text} is not an IP address")
    inner = _unwrapped(address)
    if host.lower().rstrip(".") in METADATA_HOSTS:
        raise Refused(f"{host} is a metadata service and never an upstream")
    if reason := _never(inner):
        raise Refused(f"{host}: {address_text} {reason} and never an upstream")
    if _is_private(inner) and not confirmed and not _allowed_by_setting(host, inner, port):
        raise Refused(
            f"{host}: {address_text} is a private or loopback address; confirm it on the provider "
            "or list it in ALLOWED_PRIVATE_UPSTREAMS"
        )


def check_base_url(base_url: str, confirmed_host: str) -> str:
    """What is wrong with a provider's base URL, or "". Names are not resolved here."""
    try:
        parts = urlsplit(base_url)
        port = _port(parts)
    except ValueError as error:
        return f"Not a URL: {error}."
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        return "A base URL holds no spaces and only ASCII characters."
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "A base URL begins with http:// or https:// and a host, such as https://api.openai.com/v1."
    if parts.username or parts.password:
        return "Credentials do not belong into the URL; use the API key field."
    if parts.query or parts.fragment:
        return "A base URL has no query and no fragment."
    host = parts.hostname
    if host.rstrip(".") in METADATA_HOSTS:
        return f"{host} is a metadata service and never an upstream."
    address = _spelled(host.rstrip("."))
    if not address:
        return ""
    try:
        check_address(host, address, port, is_confirmed(base_url, confirmed_host))
    except Refused as refusal:
        return f"{refusal}."
    return ""
