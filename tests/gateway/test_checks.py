"""What `serve` refuses to start with, and what it says then."""

import base64

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

from gateway.checks import PUBLISHED_MASTER_KEY, TAG
from keys import issuing

# The checks alone look at it; no connection is made.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
MYSQL = {"default": {"ENGINE": "django.db.backends.mysql"}}


def ids(deploy: bool = False) -> set[str]:
    found = run_checks(tags=[TAG], include_deployment_checks=deploy)
    assert all(message.hint for message in found)
    return {str(message.id).removeprefix("switchyard.") for message in found}


def test_the_defaults_pass() -> None:
    assert ids() == set()


def test_several_workers_would_each_allow_the_whole_limit(settings: LazySettings) -> None:
    settings.WEB_CONCURRENCY = 2
    assert ids() == {"E001"}


def test_several_workers_share_limits_in_redis(settings: LazySettings) -> None:
    settings.WEB_CONCURRENCY = 2
    settings.SECRET_KEY_FROM_ENV = True
    settings.REDIS_URL = "redis://localhost"
    assert ids() == set()
    settings.WEB_CONCURRENCY = 0
    assert ids() == {"E001"}


@pytest.mark.parametrize("setting", [("REDIS_URL", "redis://localhost"), ("DATABASES", POSTGRES)])
def test_machines_that_share_data_need_the_same_secret(
    settings: LazySettings, setting: tuple[str, object]
) -> None:
    setattr(settings, *setting)
    assert ids() == {"E002"}
    settings.SECRET_KEY_FROM_ENV = True
    assert ids() == set()


@pytest.mark.parametrize("key", ["short", "=", base64.b64encode(bytes(31)).decode(), ""])
def test_an_encryption_key_that_is_not_32_bytes(settings: LazySettings, key: str) -> None:
    settings.ENCRYPTION_KEYS = [base64.b64encode(bytes(32)).decode(), key]
    assert ids() == {"E003"}
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    assert ids() == set()


@pytest.mark.parametrize(
    "entry",
    [
        "ollama",
        "ollama:11434",
        "10.0.0.0/8",
        "10.0.0.1:80",
        "10.0.0.0/8:80",
        "fd00::/8",
        "[::1]:8000",
        "::1",
        "a.b_c",
    ],
)
def test_hosts_addresses_and_networks_may_be_upstreams(settings: LazySettings, entry: str) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = [entry]
    assert ids() == set()


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "http://ollama",
        "10.0.0.0/33",
        "10.0.0.256",
        "ollama:0",
        "ollama:99999",
        "a b",
        "*.local",
        "a/b",
        "[::1",
    ],
)
def test_an_entry_that_would_match_nothing_is_refused(settings: LazySettings, entry: str) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["ollama", entry]
    assert ids() == {"E004"}


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("JOURNAL_FULL", "ignore", "E005"),
        ("REDIS_URL", "localhost:6379", "E006"),
        ("DATABASES", MYSQL, "E007"),
    ],
)
def test_misspelt_settings_are_refused(
    settings: LazySettings, setting: str, value: object, problem: str
) -> None:
    settings.SECRET_KEY_FROM_ENV = True
    setattr(settings, setting, value)
    assert ids() == {problem}


@pytest.mark.django_db
def test_the_published_master_key_warns_and_fails_a_deployment(settings: LazySettings) -> None:
    settings.MASTER_KEY = PUBLISHED_MASTER_KEY
    assert ids() == {"W001"}
    assert ids(deploy=True) == {"W001", "E008"}


@pytest.mark.django_db
def test_the_published_master_key_fails_a_deployment_also_as_a_row() -> None:
    assert ids(deploy=True) == set()
    key, _ = issuing.issue("master", text=PUBLISHED_MASTER_KEY, is_admin=True)
    assert ids(deploy=True) == {"E008"}
    key.enabled = False
    key.save()
    assert ids(deploy=True) == set()


def test_a_short_secret_of_open_webui_warns(settings: LazySettings) -> None:
    settings.OPENWEBUI_JWT_SECRET = "short"
    assert ids() == {"W002"}
    settings.OPENWEBUI_JWT_SECRET = "long enough to be found out by nobody"
    assert ids() == set()
