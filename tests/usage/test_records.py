"""Values of a usage row are made to fit their columns, whoever sent them."""

import math
from typing import Any

import msgspec
import pytest
from django.db import models

from tests.usage.rows import asked
from usage.models import Attempt
from usage.records import Settled, bounded, interrupted

ODD: list[Any] = [
    None,
    "",
    "x" * 5000,
    "nul\0 inside",
    "\ud800",
    -1,
    2**70,
    1.5,
    -math.inf,
    math.inf,
    math.nan,
    True,
    [],
    {},
]


def test_a_settled_record_is_field_for_field_an_attempt() -> None:
    assert set(Settled.__struct_fields__) == {field.column for field in Attempt._meta.concrete_fields}


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_whatever_value_comes_its_column_takes_it(odd: object) -> None:
    names = [name for name in Settled.__struct_fields__ if name != "attempt_id"]
    row = bounded(msgspec.structs.replace(asked().settled(), **dict.fromkeys(names, odd)))
    for name in names:
        assert _fits(Attempt._meta.get_field(name), getattr(row, name)), name


@pytest.mark.parametrize("odd", [*ODD, "\ud83d", 2.0], ids=repr)
def test_one_odd_value_in_a_sound_row_is_made_to_fit_and_no_other(odd: object) -> None:
    sound = asked("Älice").settled(upstream_request_id="up-1", ttft_ms=3, cost_nano=5)
    for name in set(Settled.__struct_fields__) - {"attempt_id"}:
        row = bounded(msgspec.structs.replace(sound, **{name: odd}))
        assert _fits(Attempt._meta.get_field(name), getattr(row, name)), name
        assert msgspec.structs.replace(row, **{name: getattr(sound, name)}) == sound, name


def test_a_sound_row_stays_as_it_is() -> None:
    row = asked("Älice").settled(upstream_request_id="up-1", end_user="böb 🦊", ttft_ms=3, cost_nano=5)
    assert bounded(row) == row


def test_text_is_cut_at_its_columns_length() -> None:
    assert len(bounded(asked().settled(end_user="é" * 900)).end_user) == 256


def test_an_attempt_whose_worker_died_is_charged_at_the_estimate() -> None:
    one = asked("bob")
    row = interrupted(one.started(prompt_estimate=99, completion_estimate=40))
    assert (row.status, row.error_class, row.estimated) == ("interrupted", "gateway_died", True)
    assert (row.prompt_tokens, row.completion_tokens, row.cost_nano) == (99, 40, 0)
    assert (row.attempt_id, row.key, row.http_status) == (one.attempt_id, "bob", None)


def test_a_retry_whose_worker_died_is_no_request_of_its_own() -> None:
    retry = msgspec.structs.replace(asked("bob").started(), attempt_number=2)
    assert interrupted(retry).attempt_number == 2


def _fits(field: object, value: object) -> bool:
    assert isinstance(field, models.Field)
    if value is None:
        return bool(field.null)
    if isinstance(field, models.CharField | models.TextField):
        return isinstance(value, str) and len(value) <= (field.max_length or 0) and "\0" not in value
    if isinstance(field, models.BooleanField):
        return isinstance(value, bool)
    most: dict[Any, int] = {models.PositiveSmallIntegerField: 2**15, models.PositiveIntegerField: 2**31}
    return isinstance(value, int) and 0 <= value < most.get(type(field), 2**63)
