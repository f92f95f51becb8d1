"""Whether the database answers, as one worker sees it."""

import time

# A connection that cannot be made is given up after three seconds.
_SILENCE_SECONDS = 3.0


class Reach:
    """Told of every answer and failure of a question that is asked each second."""

    def __init__(self) -> None:
        self._failed = False
        self._answered_at = time.monotonic()

    def answered(self) -> None:
        self._failed = False
        self._answered_at = time.monotonic()

    def failed(self) -> None:
        self._failed = True

    @property
    def away(self) -> bool:
        """It failed, or has said nothing for longer than it may take."""
        return self._failed or time.monotonic() - self._answered_at > _SILENCE_SECONDS
