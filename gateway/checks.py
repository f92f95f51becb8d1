"""What must hold before the gateway serves, with ids and hints: `manage.py check --tag switchyard`."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError

from gateway import cors
from keys import issuing
from usage import webhook

TAG = "switchyard"
# The master key of LiteLLM's own documentation: whoever read it could use the gateway.
PUBLISHED_MASTER_KEY = "sk-litellm-admin"
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)
_WITH_PORT = re.compile(r"(?P<target>\[[^]]+\]|[^:]+):(?P<port>\d+)")


def _uses_postgres() -> bool:
    return bool(settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql")


def check_workers(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E001: without Redis, limits are kept inside one worker."""
    if settings.WEB_CONCURRENCY == 1 or (settings.REDIS_URL and settings.WEB_CONCURRENCY > 1):
        return []
    return [
        Error(
            f"WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}, but limits are inside one worker without Redis.",
            hint="Set REDIS_URL, or WEB_CONCURRENCY=1: two workers would each allow the whole limit.",
            id="switchyard.E001",
        )
    ]


def check_secret_key(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E002: machines that share a database share the SECRET_KEY."""
    if settings.SECRET_KEY_FROM_ENV or not (settings.REDIS_URL or _uses_postgres()):
        return []
    shared = "DATABASE_URL" if _uses_postgres() else "REDIS_URL"
    return [
        Error(
            f"SECRET_KEY is not set, and {shared} makes this more than one machine's data.",
            hint="Set SECRET_KEY to the same random text everywhere, such as from: openssl rand -base64 48",
            id="switchyard.E002",
        )
    ]


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def check_encryption_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E003: keys for secrets at rest are 32 bytes."""
    bad = [str(place) for place, key in enumerate(settings.ENCRYPTION_KEYS, 1) if not _is_key(key)]
    if not bad:
        return []
    return [
        Error(
            f"SWITCHYARD_ENCRYPTION_KEYS: entry {', '.join(bad)} is not the base64 of 32 bytes.",
            hint="Make one with: openssl rand -base64 32",
            id="switchyard.E003",
        )
    ]


def _is_network(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_network(bare, strict=False)
    except ValueError:
        return False
    return True


def _is_destination(entry: str) -> bool:
    """Whether it is a host, an address or a network, with or without a port."""
    match = _WITH_PORT.fullmatch(entry)
    target, port = (match["target"], match["port"]) if match else (entry, "1")
    if not 1 <= int(port) <= 65535:
        return False
    return _is_network(target) or (_HOST.fullmatch(target) is not None and not _looks_numeric(target))


def _looks_numeric(target: str) -> bool:
    return target.replace(".", "").isdigit()


def check_private_upstreams(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E004: an entry that matches nothing would look like a permission."""
    return [
        Error(
            f"ALLOWED_PRIVATE_UPSTREAMS: {entry!r} is not a host, an address or a network.",
            hint="Such as: ollama:11434,10.0.0.0/8,192.168.1.5,[fd00::1]:8000",
            id="switchyard.E004",
        )
        for entry in settings.ALLOWED_PRIVATE_UPSTREAMS
        if not _is_destination(entry)
    ]


def check_cors_origins(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E011: an entry that is no origin lets no page in, though it looks so."""
    origins = settings.CORS_ORIGINS
    hint = "Such as: https://chat.example.com,http://localhost:3000 (no path), or * alone for every page."
    if cors.ANY in origins and len(origins) > 1:
        message = "CORS_ORIGINS has * beside others, which it makes meaningless."
        return [Error(message, hint=hint, id="switchyard.E011")]
    return [
        Error(f"CORS_ORIGINS: {origin!r} is not the origin of a page.", hint=hint, id="switchyard.E011")
        for origin in origins
        if origin != cors.ANY and not cors.is_origin(origin)
    ]


def check_choices(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E005: a misspelt choice is not a choice."""
    if settings.JOURNAL_FULL in ("refuse", "serve"):
        return []
    return [
        Error(
            f"JOURNAL_FULL is {settings.JOURNAL_FULL!r}.",
            hint="Set it to refuse (answer 503 when usage cannot be written) or serve.",
            id="switchyard.E005",
        )
    ]


def check_urls(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E006, E007: only what the gateway is made for."""
    problems: list[CheckMessage] = []
    if settings.REDIS_URL and not settings.REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
        hint = "Such as: redis://localhost:6379/0"
        problems.append(Error("REDIS_URL is not the URL of a Redis server.", hint=hint, id="switchyard.E006"))
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        hint = "Use sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME"
        problems.append(Error(f"DATABASE_URL names {engine}.", hint=hint, id="switchyard.E007"))
    return problems


def check_master_key(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W001: a master key that everybody can read."""
    if settings.MASTER_KEY != PUBLISHED_MASTER_KEY:
        return []
    hint = "Set SWITCHYARD_MASTER_KEY to a random text, such as from: openssl rand -hex 24"
    return [Warning("The master key is the published example.", hint=hint, id="switchyard.W001")]


def check_master_key_deployed(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E008: the same as an error of `check --deploy`, wherever that key came from."""
    try:
        row = issuing.find(PUBLISHED_MASTER_KEY)
    except DatabaseError:
        row = None  # away or not migrated: it lets nobody in
    if settings.MASTER_KEY != PUBLISHED_MASTER_KEY and not (row and row.enabled):
        return []
    hint = "Change master_key where it is set (SWITCHYARD_MASTER_KEY, config.yml) and disable the old key."
    return [Error("The published example key opens this gateway.", hint=hint, id="switchyard.E008")]


def check_openwebui_secret(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """W002: a secret so short that who has one token can find it out and sign others (RFC 7518, 3.2)."""
    if not settings.OPENWEBUI_JWT_SECRET or len(settings.OPENWEBUI_JWT_SECRET.encode()) >= 32:
        return []
    hint = "Give it and Open WebUI's FORWARD_USER_INFO_HEADER_JWT_SECRET the text of: openssl rand -hex 32"
    return [Warning("OPENWEBUI_JWT_SECRET is shorter than 32 bytes.", hint=hint, id="switchyard.W002")]


def _is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def check_alerts(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """E009, E010: nobody finds out at 100 % that no alert could ever be sent."""
    problems: list[CheckMessage] = []
    bad = [repr(address) for address in settings.ALERT_EMAILS if not _is_email(address)]
    if bad:
        hint = "Separate addresses with commas, such as: alice@example.com,bob@example.com"
        message = f"ALERT_EMAILS: {', '.join(bad)} is no e-mail address."
        problems.append(Error(message, hint=hint, id="switchyard.E009"))
    if settings.EMAIL_URL and not _is_email(settings.ALERT_FROM):
        hint = "Set ALERT_FROM to the address that e-mails come from, such as switchyard@example.com"
        message = "EMAIL_URL is set and ALERT_FROM is no address."
        problems.append(Error(message, hint=hint, id="switchyard.E009"))
    if settings.ALERT_EMAILS and not settings.EMAIL_URL:
        hint = "Set EMAIL_URL, such as: smtp+tls://user:password@mail.example.com:587"
        problems.append(Error("ALERT_EMAILS is set without a mail server.", hint=hint, id="switchyard.E009"))
    if settings.ALERT_WEBHOOK_URL and (why := webhook.problem(settings.ALERT_WEBHOOK_URL)):
        hint = "Such as: https://chat.example.com/hooks/abc"
        message = f"ALERT_WEBHOOK_URL is not the URL of a webhook: {why}."
        problems.append(Error(message, hint=hint, id="switchyard.E010"))
    return problems


CHECKS = (
    check_workers,
    check_secret_key,
    check_encryption_keys,
    check_private_upstreams,
    check_cors_origins,
    check_choices,
    check_urls,
    check_master_key,
    check_alerts,
    check_openwebui_secret,
)
DEPLOY_CHECKS = (check_master_key_deployed,)
