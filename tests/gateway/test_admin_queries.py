"""A list asks the database the same number of times for three rows as for nine."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.gateway.furnished import furnish

pytestmark = pytest.mark.django_db

# Session and user are two of each.
PINNED = {
    "admin:index": 14,
    "admin:providers_provider_changelist": 4,
    "admin:providers_model_changelist": 6,
    "admin:providers_deployment_changelist": 7,
    "admin:providers_fallback_changelist": 4,
    "admin:providers_price_changelist": 4,
    "admin:keys_team_changelist": 5,
    "admin:keys_apikey_changelist": 7,
    "admin:keys_limit_changelist": 4,
    "admin:keys_enduser_changelist": 6,
    "admin:usage_limitalert_changelist": 3,
    "admin:usage_attempt_changelist": 4,
    "admin:usage_hourlyusage_changelist": 4,
    "admin:usage_dailyusage_changelist": 4,
}


@pytest.mark.parametrize("name", PINNED)
def test_the_number_of_queries_does_not_grow_with_the_rows(
    admin_client: Client, name: str, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for number in range(3):
        furnish(number)
    url = reverse(name)
    admin_client.get(url)
    with django_assert_num_queries(PINNED[name]):
        admin_client.get(url)
    for number in range(3, 9):
        furnish(number)
    with django_assert_num_queries(PINNED[name]):
        admin_client.get(url)


def test_the_list_of_requests_is_never_counted_or_skipped_through(
    admin_client: Client, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for number in range(60):
        furnish(number)
    with django_assert_num_queries(4) as asked:
        admin_client.get(reverse("admin:usage_attempt_changelist"))
    statements = [
        query["sql"].upper() for query in asked.captured_queries if "USAGE_ATTEMPT" in query["sql"].upper()
    ]
    assert len(statements) == 1
    assert "LIMIT 51" in statements[0]
    assert not any(word in statements[0] for word in ("COUNT(", "OFFSET", "DISTINCT"))


def test_the_home_page_never_reads_attempts(
    admin_client: Client, django_assert_num_queries: Callable[[int], Any]
) -> None:
    furnish(1)
    with django_assert_num_queries(PINNED["admin:index"]) as asked:
        admin_client.get(reverse("admin:index"))
    assert not [query for query in asked.captured_queries if '"usage_attempt"' in query["sql"]]
