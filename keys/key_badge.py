"""Labels of keys: whether they are let in, and since when."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from keys.models import ApiKey
from providers.console import Tone, badge


def ago(moment: datetime) -> str:
    """`3 hours ago`, `just now` below a minute."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"


def key_badge(key: ApiKey) -> SafeString:
    """Whether this key is let in, and if not, why."""
    if not key.enabled:
        return badge("disabled", Tone.PLAIN)
    if key.expires_at is None:
        return badge("active", Tone.GOOD)
    if key.expired:
        return badge("expired", Tone.BAD, ago(key.expires_at))
    return badge("active", Tone.GOOD, f"for another {timesince(timezone.now(), key.expires_at, depth=1)}")
