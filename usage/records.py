"""What the journal keeps of an attempt: said before it is sent, and said again when it ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

import msgspec

from providers.decisions import LONGEST as LONGEST_DECISION

# Far above any real attempt, and far enough below 2**63 that an hour's sum cannot overflow either.
MOST_TOKENS = 10**12
MOST_NANO = 10**15
_MOST_MS = 2**31 - 1


# A frame is the list of its record's values: fields are only ever appended, and with defaults, so that
# frames of earlier versions can be read.
class Started(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    """Written before an attempt is sent. `started_at` is in Unix milliseconds.

    `cost_nano` and `price_id` rate the estimate, for the case that nobody is left to do so.
    """

    attempt_id: UUID
    request_id: str
    started_at: int
    key: str
    key_id: str
    team: str
    end_user: str
    model: str
    deployment: str
    provider: str
    endpoint: str
    stream: bool
    prompt_estimate: int
    config_version: int
    task: str = ""
    cost_nano: int = 0
    price_id: int | None = None
    completion_estimate: int = 0
    attempt_number: int = 1
    upstream_model: str | None = None
    decision: str | None = None
    chat_id: str | None = None
    images: int = 0
    audio_seconds: int | None = None
    characters: int | None = None


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="settled"):
    """The whole usage row, written when the attempt ended; field for field `usage.models.Attempt`."""

    attempt_id: UUID
    request_id: str
    started_at: int
    key: str
    key_id: str
    team: str
    end_user: str
    model: str
    deployment: str
    provider: str
    endpoint: str
    stream: bool
    config_version: int
    status: str
    upstream_request_id: str | None = None
    http_status: int | None = None
    error_class: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    priced: bool = False
    estimated: bool = False
    ttft_ms: int | None = None
    latency_ms: int | None = None
    task: str = ""
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    anomaly: str = ""
    price_id: int | None = None
    attempt_number: int = 1
    upstream_model: str | None = None
    decision: str | None = None
    chat_id: str | None = None
    audio_seconds: int | None = None
    characters: int | None = None


class Kept(msgspec.Struct, frozen=True, array_like=True, tag="kept"):
    """A piece of an attempt's exchange, `part` of `parts`; written together, before `settled`."""

    attempt_id: UUID
    part: int
    parts: int
    data: bytes


type Record = Started | Settled | Kept


def interrupted(started: Started) -> Settled:
    """The row of an attempt whose worker died before it ended: the estimate stands."""
    return Settled(
        attempt_id=started.attempt_id,
        request_id=started.request_id,
        started_at=started.started_at,
        key=started.key,
        key_id=started.key_id,
        team=started.team,
        end_user=started.end_user,
        model=started.model,
        deployment=started.deployment,
        provider=started.provider,
        endpoint=started.endpoint,
        stream=started.stream,
        config_version=started.config_version,
        status="interrupted",
        error_class="gateway_died",
        prompt_tokens=started.prompt_estimate,
        completion_tokens=started.completion_estimate,
        cost_nano=started.cost_nano,
        priced=started.price_id is not None,
        estimated=True,
        task=started.task,
        price_id=started.price_id,
        attempt_number=started.attempt_number,
        upstream_model=started.upstream_model,
        decision=started.decision,
        chat_id=started.chat_id,
        images=started.images,
        audio_seconds=started.audio_seconds,
        characters=started.characters,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """How any value is made to fit, and the type of the values that fit as they are.

    Of `is_text` the type cannot tell all: a database takes neither NUL nor lone surrogates.
    """

    fit: Callable[[object], Any]
    sound: Any
    is_text: bool = False


def _text(longest: int) -> _Column:
    def fit(value: object) -> str:
        text = value if isinstance(value, str) else "" if value is None else str(value)
        if not text.isascii():  # a lone surrogate is no text to a database
            text = text.encode("utf-8", "replace").decode()
        if "\0" in text:
            text = text.replace("\0", "")
        return text[:longest]

    return _Column(fit, Annotated[str, msgspec.Meta(max_length=longest)], is_text=True)


def _count(most: int) -> _Column:
    def fit(value: object) -> int:
        if isinstance(value, float):
            value = int(value) if 0 <= value <= most else most if value > most else 0
        return min(max(value, 0), most) if isinstance(value, int) else 0

    return _Column(fit, Annotated[int, msgspec.Meta(ge=0, le=most)])


def _or_none(column: _Column) -> _Column:
    def fit(value: object) -> Any:
        return None if value is None else column.fit(value)

    return _Column(fit, column.sound | None, column.is_text)


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))


_FLAG = _Column(bool, bool)
_COLUMNS: dict[str, _Column] = {
    "attempt_id": _Column(_uuid, UUID),
    "request_id": _text(128),
    "upstream_request_id": _or_none(_text(256)),
    "started_at": _count(253_402_300_799_999),  # the end of year 9999
    "key": _text(120),
    "key_id": _text(40),
    "team": _text(120),
    "end_user": _text(256),
    "model": _text(200),
    "deployment": _text(300),
    "provider": _text(120),
    "endpoint": _text(64),
    "status": _text(12),
    "http_status": _or_none(_count(2**15 - 1)),
    "error_class": _text(64),
    "prompt_estimate": _count(MOST_TOKENS),
    "completion_estimate": _count(MOST_TOKENS),
    "attempt_number": _count(2**15 - 1),
    "prompt_tokens": _count(MOST_TOKENS),
    "completion_tokens": _count(MOST_TOKENS),
    "cached_tokens": _count(MOST_TOKENS),
    "reasoning_tokens": _count(MOST_TOKENS),
    "cost_nano": _count(MOST_NANO),
    "priced": _FLAG,
    "estimated": _FLAG,
    "stream": _FLAG,
    "ttft_ms": _or_none(_count(_MOST_MS)),
    "latency_ms": _or_none(_count(_MOST_MS)),
    "config_version": _count(2**63 - 1),
    "task": _text(64),
    "cache_write_tokens": _count(MOST_TOKENS),
    "audio_input_tokens": _count(MOST_TOKENS),
    "audio_output_tokens": _count(MOST_TOKENS),
    "images": _count(MOST_TOKENS),
    "anomaly": _text(40),
    "price_id": _or_none(_count(2**63 - 1)),
    "upstream_model": _or_none(_text(300)),
    "decision": _or_none(_text(LONGEST_DECISION)),
    "chat_id": _or_none(_text(128)),
    "audio_seconds": _or_none(_count(MOST_TOKENS)),
    "characters": _or_none(_count(MOST_TOKENS)),
}
_FITS: dict[type, list[Callable[[object], Any]]] = {
    kind: [_COLUMNS[name].fit for name in kind.__struct_fields__] for kind in (Started, Settled)
}
# The same lists of values as types of their own: nearly all records pass these, at a tenth of the cost.
_SOUND: dict[type, type[msgspec.Struct]] = {
    kind: msgspec.defstruct(
        f"Sound{kind.__name__}",
        [(name, _COLUMNS[name].sound) for name in kind.__struct_fields__],
        array_like=True,
    )
    for kind in (Started, Settled)
}
_texts: dict[type, Callable[[Sequence[Any]], tuple[Any, ...]]] = {
    kind: itemgetter(*[at for at, name in enumerate(kind.__struct_fields__) if _COLUMNS[name].is_text])
    for kind in (Started, Settled)
}


def fitted[R: Started | Settled](kind: type[R], values: Sequence[object]) -> R:
    """A record of these values, each cut or clipped to what its column takes.

    Raises ValueError when the id is none, TypeError when fields are missing.
    """
    return kind(*[fit(value) for fit, value in zip(_FITS[kind], values, strict=False)])


def bounded[R: Started | Settled](record: R) -> R:
    """The same record with every value fit for its column, whatever a provider said."""
    kind, values = type(record), msgspec.structs.astuple(record)
    try:
        sound = msgspec.structs.astuple(msgspec.convert(values, _SOUND[kind]))
        text = "".join(filter(None, _texts[kind](sound)))
        text.encode()
    except (msgspec.ValidationError, UnicodeEncodeError):
        return fitted(kind, values)
    return fitted(kind, values) if "\0" in text else kind(*sound)
