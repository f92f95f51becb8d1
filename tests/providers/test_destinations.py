"""Which addresses an upstream may have, when it is saved and when it is connected to."""

import pytest
from django.conf import LazySettings

from providers.destinations import Refused, check_address, check_base_url, host_key, is_confirmed

NEVER = [
    "169.254.169.254",
    "169.254.1.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "2002:a9fe:a9fe::1",  # 6to4 of 169.254.169.254
    "64:ff9b::a9fe:a9fe",  # NAT64 of it
    "::127.0.0.1",  # IPv4-compatible, never in use
]
PRIVATE = [
    "127.0.0.1",
    "127.255.0.1",
    "::1",
    "10.3.0.42",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "0.1.2.3",
    "198.18.0.1",
    "240.0.0.1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::1",
    "64:ff9b::7f00:1",
]
PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


def allowed(address: str, *, host: str = "llm.example", port: int = 443, confirmed: bool = False) -> bool:
    try:
        check_address(host, address, port, confirmed)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_an_upstream(address: str, settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["0.0.0.0/0", "::/0", "llm.example"]
    assert not allowed(address, confirmed=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_a_confirmation(address: str) -> None:
    assert not allowed(address)
    assert allowed(address, confirmed=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_need_none(address: str) -> None:
    assert allowed(address)


@pytest.mark.parametrize("host", ["metadata.google.internal", "METADATA.google.internal.", "metadata"])
def test_a_metadata_service_is_refused_by_name_whatever_its_address(host: str) -> None:
    assert not allowed("8.8.8.8", host=host, confirmed=True)
    assert "metadata" in check_base_url(f"http://{host}/v1", "")


def test_what_is_no_address_is_refused() -> None:
    assert not allowed("llm.example", confirmed=True)


@pytest.mark.parametrize(
    "entry",
    [
        "llm.internal",
        "LLM.internal:8000",
        "10.3.0.42",
        "10.3.0.42:8000",
        "10.0.0.0/8",
        "10.0.0.0/8:8000",
        " 10.0.0.0/8",
        "10.3.0.99/24",
    ],
)
def test_the_setting_allows_hosts_addresses_and_networks(entry: str, settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["other", entry]
    assert allowed("10.3.0.42", host="llm.internal", port=8000)
    assert allowed("10.3.0.42", host="llm.internal", port=8001) is (":" not in entry)
    assert not allowed("192.168.0.1", host="elsewhere.internal", port=8000)


@pytest.mark.parametrize("entry", ["::1", "[::1]", "[::1]:8000", "::/64", "[::/64]:8000"])
def test_the_setting_takes_ipv6_with_and_without_port(entry: str, settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = [entry]
    assert allowed("::1", host="::1", port=8000)
    assert allowed("::1", host="::1", port=8001) is ("]:" not in entry)
    assert not allowed("fd00::1", host="fd00::1", port=8000)


def test_an_address_in_disguise_is_allowed_as_what_it_is(settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["127.0.0.0/8"]
    assert allowed("::ffff:127.0.0.1")
    assert not allowed("::ffff:10.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "api.localhost",
        "[::1]",
        "10.3.0.42",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "127.1",
        "0x7f.0.0.1",
        "127.0.0.1.",
    ],
)
def test_saving_a_private_address_asks_for_a_confirmation_however_it_is_spelt(host: str) -> None:
    url = f"http://{host}:8000/v1"
    assert "private or loopback" in check_base_url(url, "")
    assert check_base_url(url, host_key(url)) == ""


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0", "[fe80::1%25eth0]", "169.254.169.254"])
def test_saving_a_forbidden_address_is_refused_however_it_is_spelt(host: str) -> None:
    url = f"http://{host}/latest"
    assert "never an upstream" in check_base_url(url, host_key(url))


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://8.8.8.8:1/", "https://llm.internal"])
def test_public_hosts_and_names_can_be_saved(url: str) -> None:
    assert check_base_url(url, "") == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://llm.example",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://a:b/",
        "http://a:99999/",
        "http://alice:pw@llm.example/",
        "https://llm.example/?q=1",
        "https://llm.example/#f",
        "https://llm.exam ple/",
        "https://bücher.example/",
        "https://llm.example/\nx",
        "http://127.0.0.1#@x/",
    ],
)
def test_what_is_no_plain_base_url_is_refused_in_words(url: str) -> None:
    assert check_base_url(url, "").endswith(".")


def test_a_confirmation_is_bound_to_host_and_port() -> None:
    assert host_key("http://LLM.internal:8000/v1") == "llm.internal:8000"
    assert host_key("https://llm.internal") == "llm.internal:443"
    assert is_confirmed("http://llm.internal/v2", "llm.internal:80")
    assert not is_confirmed("http://llm.internal:8001/v1", "llm.internal:8000")
    assert not is_confirmed("http://127.0.0.1:8000", "localhost:8000")
    assert not is_confirmed("http://a:b", "a:80")
    assert not is_confirmed("http://", "")
