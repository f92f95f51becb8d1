"""Whether the database answers, as one worker sees it."""

import time

# A connection that cannot be made is given up after three seconds.
_SILENCE_SECONDS = 3.0


class Reach:
    """Told of every answer and failure of a question that is asked each second."""

    def __init__(self) -> None:
        self.failing = (
            False  # it said so, or could not be asked: not only silence, which a busy worker sees too
        )
        self._answered_at = time.monotonic()

    def answered(self) -> None:
        self.failing = False
        self._answered_at = time.monotonic()

    def failed(self) -> None:
        self.failing = True

    def silent(self) -> None:
        """It has not answered for longer than anybody should wait for it."""
        self._answered_at = float("-inf")

    @property
    def away(self) -> bool:
        """Whether to look elsewhere first."""
        return self.failing or time.monotonic() - self._answered_at > _SILENCE_SECONDS
