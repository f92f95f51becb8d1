"""`data:` URLs: how chat carries images and files."""

import base64
import binascii
import re

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)


def split(url: str) -> tuple[str, str] | None:
    """`(media type, base64)` of a data URL in base64; None for any other text."""
    found = _DATA_URL.match(url)
    return (found[1].lower(), url[found.end() :]) if found else None


def join(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def as_text(data: str) -> str | None:
    """What base64 of UTF-8 says; None if it is none."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
