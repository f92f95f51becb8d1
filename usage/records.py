"""What the journal keeps of an attempt: said before it is sent, and said again when it ended."""

from uuid import UUID

import msgspec


class Started(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    """Written before an attempt is sent. `started_at` is in Unix milliseconds."""

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


type Record = Started | Settled
