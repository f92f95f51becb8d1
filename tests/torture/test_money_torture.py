"""A million rows under three price changes: every sum is exact to the nano-dollar."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.usage.conftest import connected_to
from tests.usage.money import judge, play

pytestmark = [pytest.mark.torture, pytest.mark.postgres]


def test_money(
    postgres_database: str,
    tmp_path: Path,
    django_db_blocker: Any,
    torture_result: Callable[[dict[str, object]], None],
) -> None:
    with django_db_blocker.unblock(), connected_to(postgres_database):
        call_command("migrate", verbosity=0)
        told = play(1_000_000, tmp_path / "journal")
    torture_result(asdict(told))
    judge(told)
