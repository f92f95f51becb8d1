"""How a limit that fills up is told: the words of it, an e-mail and a webhook."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email

from keys.models import Limit
from keys.scopes import holder_of
from usage import webhook
from usage.cover import EVER
from usage.models import LimitAlert

_MAIL_SECONDS = 10


class Untold(Exception):
    """A channel did not take a notice; the message says why."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert in words, and as data for a webhook."""

    subject: str
    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mail:
    recipients: tuple[str, ...]
    name: str = "e-mail"

    def send(self, notice: Notice) -> None:
        """Raises `Untold`."""
        message = EmailMessage(
            notice.subject,
            notice.text,
            settings.ALERT_FROM,
            self.recipients,
            connection=get_connection(timeout=_MAIL_SECONDS),
        )
        try:
            message.send()
        except (OSError, ValueError) as error:  # those of smtplib are OSErrors
            raise Untold(_one_line(f"{type(error).__name__}: {error}")) from None


@dataclass(frozen=True, slots=True)
class Hook:
    url: str
    name: str = "webhook"

    def send(self, notice: Notice) -> None:
        """Raises `Untold`."""
        try:
            webhook.post(self.url, notice.data)
        except webhook.Undelivered as undelivered:
            raise Untold(_one_line(str(undelivered))) from None


type Channel = Mail | Hook


def mail_for(limit: Limit) -> Mail | None:
    """To operators, the limit's team or its key's, and whose key it is; None: mail is off, or for nobody."""
    if not settings.EMAIL_URL:
        return None
    found = [*settings.ALERT_EMAILS]
    team = limit.team or (limit.key.team if limit.key else None)
    if team is not None:
        found += re.split(r"[,;\s]+", team.alert_emails)
    if limit.key and limit.key.member:
        found.append(limit.key.member.email)
    recipients = tuple({address.casefold(): address for address in found if _is_address(address)}.values())
    return Mail(recipients) if recipients else None


def hook() -> Hook | None:
    """None: no webhook is set."""
    return Hook(settings.ALERT_WEBHOOK_URL) if settings.ALERT_WEBHOOK_URL else None


def notice_of(alert: LimitAlert, resets_at: datetime | None) -> Notice:
    """`resets_at` None: it does not by itself."""
    limit, since = alert.limit, None if alert.window_start == EVER else alert.window_start
    counted = Limit(metric=limit.metric, window=limit.window, amount=alert.amount)
    on_model = f" on model '{limit.model.name}'" if limit.model else ""
    holder = _one_line(holder_of(limit))
    used = Limit(metric=limit.metric, amount=alert.used).amount_text
    subject = f"{alert.percent} % of {counted} used by {holder}{on_model}"
    lines = [
        f"{holder}{on_model} has used {used} of {counted}.",
        "",
        f"Counted since: {_moment(since) if since else 'its beginning'}",
        f"Starts anew: {_moment(resets_at) if resets_at else 'when an operator resets it'}",
        "",
        "What does not fit any more is refused." if alert.percent < 100 else "Further requests are refused.",
    ]
    data = {
        "id": str(alert.pk),
        "event": "limit_threshold",
        "text": subject,
        "limit": limit.pk,
        "holder": holder,
        "model": limit.model.name if limit.model else None,
        "metric": limit.metric,
        "window": limit.window,
        "window_start": _iso(since) if since else None,
        "percent": alert.percent,
        "used": alert.used,
        "amount": alert.amount,
        "resets_at": _iso(resets_at) if resets_at else None,
    }
    return Notice(f"Switchyard: {subject}", "\n".join([_capital(lines[0]), *lines[1:], ""]), data)


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
