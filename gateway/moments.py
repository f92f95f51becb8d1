"""Times that are given on the command line."""

from datetime import UTC, datetime

from django.core.management.base import CommandError


def moment(option: str, text: str) -> datetime:
    """An ISO date or time, UTC unless it says otherwise. Raises `CommandError`, naming the option."""
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "such as 2026-11-01T00:00:00Z"
        raise CommandError(f"{option} {text!r} is not an ISO date or time, {example}.") from None
