"""That an attempt, or all at a model, gave no answer: what the client hears, and what kind it was."""

from gateway.attempts import Attempt, Outcome
from gateway.errors import ApiError
from gateway.messages import Reply
from providers.fallbacks import On
from providers.retries import Kind


class AttemptFailed(Exception):
    """One deployment gave no answer; `error` is what the client hears if no other does better.

    `outcome` is what will be written of the attempt. `kind` None: another deployment would say the same.
    `retry_fresh`: a kept connection had died.
    """

    def __init__(
        self,
        attempt: Attempt,
        outcome: Outcome,
        error: Reply | ApiError,
        kind: Kind | None,
        *,
        on: On = On.ANY,
        retry_fresh: bool = False,
    ) -> None:
        super().__init__()
        self.attempt = attempt
        self.outcome = outcome
        self.error = error
        self.kind = kind
        self.on = on
        self.retry_fresh = retry_fresh


class Unanswered(Exception):
    """No deployment of a model gave an answer: what the client hears, and what kind of error it was."""

    def __init__(self, error: Reply | ApiError, on: On) -> None:
        super().__init__()
        self.error = error
        self.on = on

    def reply(self) -> Reply:
        """What the client is told. Raises `ApiError` if it is the gateway's own words."""
        if isinstance(self.error, ApiError):
            raise self.error
        return self.error
