"""kill -9 of everything, in the middle of it all: what reached a provider is on the bill exactly once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

REQUESTS = 200


def ask_all(alice: Client, started: threading.Semaphore) -> list[int | None]:
    """The status of each request; None where the connection died."""

    def ask(number: int) -> int | None:
        started.release()
        try:
            answer = alice.chat("m", stream=number % 2 == 0)
        except (OSError, HTTPException):
            return None
        return None if answer.cut else answer.status

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, range(REQUESTS)))


def test_every_request_that_reached_the_provider_has_exactly_one_row() -> None:
    with Upstream() as upstream, Gateway(config_of([Entry("m", upstream.url)])) as gateway:
        upstream.behave(Behaviour(tokens=10, delay=0.005))
        alice = Client(gateway, gateway.create_key("alice"))
        started = threading.Semaphore(0)
        statuses: list[int | None] = []
        asking = threading.Thread(target=lambda: statuses.extend(ask_all(alice, started)))
        asking.start()
        for _ in range(REQUESTS // 2):
            started.acquire()
        gateway.kill()
        asking.join()
        assert statuses.count(200) >= 50
        assert statuses.count(None) >= 50
        gateway.start()
        assert alice.chat("m").status == 200
        sent = [seen.request_id for seen in upstream.log()]
        rows = gateway.usage(len(sent), quiet=1.0)
    assert len(sent) == len(set(sent)) < REQUESTS
    assert sorted(row["attempt_id"] for row in rows) == sorted(set(sent) | never_sent(rows, sent))
    assert len({row["attempt_id"] for row in rows}) == len(rows)
    states = {row["status"] for row in rows}
    assert "interrupted" in states
    assert states <= {"ok", "interrupted", "cancelled"}
    interrupted = [row for row in rows if row["status"] == "interrupted"]
    assert all(row["estimated"] and row["prompt_tokens"] > 0 for row in interrupted)


def never_sent(rows: list[dict[str, object]], sent: list[str]) -> set[str]:
    """Attempts that were written down and killed before a byte of them left: at most the 16 in flight."""
    written = {str(row["attempt_id"]) for row in rows if row["status"] == "interrupted"} - set(sent)
    assert len(written) <= 16
    return written


def test_rows_are_complete_within_five_seconds_of_an_answer() -> None:
    with Upstream() as upstream, Gateway(config_of([Entry("m", upstream.url)])) as gateway:
        alice = Client(gateway, gateway.create_key("alice"))
        for number in range(3):
            answer = alice.chat("m", stream=number == 1)
            ended = time.monotonic()
            gateway.usage(1, answer.request_id)
            assert time.monotonic() - ended < 5.0


def test_a_drained_gateway_lets_a_stream_finish_and_writes_its_row() -> None:
    with Upstream() as upstream, Gateway(config_of([Entry("m", upstream.url)])) as gateway:
        upstream.behave(Behaviour(tokens=10, delay=0.1))
        alice = Client(gateway, gateway.create_key("alice"))
        with alice.open("m", stream=True) as line:
            line.read_until(b'"w1 "')
            stopping = threading.Thread(target=gateway.stop)
            stopping.start()
            line.read_until(b"data: [DONE]\n\n")
            stopping.join()
        [row] = gateway.usage(1, line.request_id)
        assert (row["status"], row["completion_tokens"]) == ("ok", 10)
