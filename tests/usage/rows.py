"""Records as a worker writes them, for tests."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from usage.ids import unix_ms, uuid7
from usage.records import Settled, Started


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt: `started()` and `settled()` give its two records."""

    attempt_id: UUID
    key: str = "alice"
    model: str = "llm"
    deployment: str = "llm-a"
    task: str = ""

    def started(self, *, prompt_estimate: int = 7, completion_estimate: int = 0) -> Started:
        return Started(
            attempt_id=self.attempt_id,
            request_id=f"req-{self.attempt_id.hex[-6:]}",
            started_at=unix_ms(self.attempt_id),
            key=self.key,
            key_id=f"id-{self.key}",
            team="readers",
            end_user="",
            model=self.model,
            deployment=self.deployment,
            provider="local",
            endpoint="chat/completions",
            stream=False,
            prompt_estimate=prompt_estimate,
            completion_estimate=completion_estimate,
            config_version=3,
            task=self.task,
        )

    def settled(self, **values: Any) -> Settled:
        begun = msgspec.structs.asdict(self.started())
        del begun["prompt_estimate"], begun["completion_estimate"]
        usual = {"status": "ok", "http_status": 200, "prompt_tokens": 12, "completion_tokens": 5}
        return Settled(**{**begun, **usual, "latency_ms": 40, **values})


def asked(key: str = "alice", *, model: str = "llm", task: str = "", at: datetime | None = None) -> Asked:
    """A new attempt of this key's owner, now or at a given time."""
    attempt = Asked(uuid7(), key, model, task=task)
    if at is None:
        return attempt
    low = attempt.attempt_id.int & (2**80 - 1)
    return replace(attempt, attempt_id=UUID(int=int(at.timestamp() * 1000) << 80 | low))


def settled(key: str = "alice", *, at: datetime | None = None, **values: Any) -> Settled:
    """The row of a new attempt."""
    return asked(key, at=at).settled(**values)
