"""A few thousand rows under three price changes come to the exact sum; the full number is a torture test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.usage.money import clear, judge, play


@pytest.fixture
def ledger_with_prices(ledger_db: str) -> Iterator[str]:
    clear()
    yield ledger_db
    clear()


def test_sums_are_exact_to_the_nano_whatever_the_prices_did(
    ledger_with_prices: str, journal_root: Path
) -> None:
    judge(play(4000, journal_root))
