"""A worker for tests to kill: says on stdout what it has written down, as fast as it can.

`python -m tests.usage.writer ROOT [ship]`: it prints `started ID` or `settled ID` when the call has returned,
and with `ship` it carries its rows to the database of DATABASE_URL meanwhile.
"""

import sys
from pathlib import Path

import django

from tests.usage.rows import asked
from usage.journal import Journal


def main() -> None:
    journal = Journal(Path(sys.argv[1]), segment_bytes=20_000)
    if sys.argv[2:] == ["ship"]:
        _ship(journal)
    under_way = []
    while True:
        attempt = asked()
        journal.started(attempt.started(prompt_estimate=11))
        print("started", attempt.attempt_id, flush=True)
        under_way.append(attempt)
        if len(under_way) == 3:
            ended = under_way.pop(0)
            journal.settled(ended.settled())
            print("settled", ended.attempt_id, flush=True)


def _ship(journal: Journal) -> None:
    django.setup()
    from usage.shipper import Shipper  # needs the models

    Shipper(journal, interval=0.01).start()


if __name__ == "__main__":
    main()
