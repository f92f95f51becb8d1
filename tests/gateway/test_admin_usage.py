import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from keys.issuing import issue
from tests.gateway.furnished import attempt, day, hour

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/attempt/"


def models_shown(client: Client, query: str = "") -> list[str]:
    """The models of the listed requests, in their order; tests name each request's model."""
    return re.findall(r'title="(m-\d+)"', client.get(LIST + query).text)


def named(numbers: range) -> list[str]:
    return [f"m-{number}" for number in numbers]


def fill(count: int) -> None:
    for number in range(count):
        attempt(number, model=f"m-{number}")


def link(client: Client, url: str, rel: str) -> str:
    found = re.search(rf'href="(\?[^"]*)"\s+rel="{rel}"', client.get(url).text)
    assert found, f"no link {rel}"
    return found[1].replace("&amp;", "&")


def test_pages_follow_each_other_without_gap_and_back(admin_client: Client) -> None:
    fill(120)
    assert models_shown(admin_client) == named(range(50))
    second = link(admin_client, LIST, "next")
    assert models_shown(admin_client, second) == named(range(50, 100))
    third = link(admin_client, LIST + second, "next")
    assert models_shown(admin_client, third) == named(range(100, 120))
    assert 'rel="next"' not in admin_client.get(LIST + third).text
    back = link(admin_client, LIST + third, "prev")
    assert models_shown(admin_client, back) == named(range(50, 100))


def test_new_requests_do_not_move_a_page(admin_client: Client) -> None:
    fill(60)
    second = link(admin_client, LIST, "next")
    attempt(-5, model="m-99")
    assert models_shown(admin_client, second) == named(range(50, 60))


def test_a_page_keeps_its_filters(admin_client: Client) -> None:
    for number in range(60):
        attempt(number, model=f"m-{number}", status="failed" if number % 2 else "ok")
    assert len(models_shown(admin_client, "?status__exact=failed")) == 30
    for number in range(60, 140):
        attempt(number, model=f"m-{number}", status="failed")
    assert "status__exact=failed" in link(admin_client, LIST + "?status__exact=failed", "next")


@pytest.mark.parametrize("term", ["req-2", "id-carol", "carol"])
def test_a_request_is_found_by_its_id_and_by_its_key(admin_client: Client, term: str) -> None:
    carol, _ = issue("carol")
    attempt(1, model="m-1")
    attempt(2, model="m-2", key="carol", key_id=carol.public_id if term == "carol" else "id-carol")
    assert models_shown(admin_client, f"?q={term}") == ["m-2"]


def test_a_request_is_found_by_its_attempt(admin_client: Client) -> None:
    attempt(1, model="m-1")
    row = attempt(2, model="m-2")
    assert models_shown(admin_client, f"?q={row.attempt_id}") == ["m-2"]


def test_a_part_of_a_name_finds_nothing(admin_client: Client) -> None:
    attempt(1, model="m-1")
    assert models_shown(admin_client, "?q=req") == []


def test_age_and_dates_narrow_the_list(admin_client: Client) -> None:
    attempt(60, model="m-1")
    attempt(3 * 3600, model="m-2")
    attempt(3 * 86400, model="m-3")
    assert models_shown(admin_client, "?age=hour") == ["m-1"]
    assert models_shown(admin_client, "?age=week") == ["m-1", "m-2", "m-3"]
    old = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}"
    assert models_shown(admin_client, f"?started_at_from={old}&started_at_to={old}") == ["m-3"]


@pytest.mark.parametrize(
    "query", ["?attempt_id__lt=rubbish", "?key__contains=b", "?started_at__lt=2020-01-01"]
)
def test_other_look_ups_are_refused(admin_client: Client, query: str) -> None:
    attempt(1, model="m-1")
    answer = admin_client.get(LIST + query)
    assert answer.status_code in (302, 400)


def test_filters_are_never_counted(admin_client: Client) -> None:
    attempt(1, model="m-1")
    assert "Show counts" not in admin_client.get(LIST).text


def test_dates_that_are_none_are_passed_over(admin_client: Client) -> None:
    attempt(1, model="m-1")
    assert models_shown(admin_client, "?started_at_from=2026-99-99&started_at_to=x") == ["m-1"]


def test_a_request_shows_all_its_attempts(admin_client: Client) -> None:
    first = attempt(2, request_id="r", deployment="llm-a", status="failed", http_status=502)
    attempt(1, request_id="r", deployment="llm-b")
    text = admin_client.get(f"{LIST}{first.pk}/change/").text
    assert text.index(">llm-a</a>") < text.index(">llm-b</a>")


def test_daily_usage_is_filtered_and_says_who_asked(admin_client: Client) -> None:
    day(0, model="m-1", end_user="carol", task="title_generation", team="research", unpriced=3)
    day(9, model="m-2")
    text = admin_client.get("/admin/usage/dailyusage/?age=week").text
    for shown in ("m-1", "carol", "title_generation", "research", "3 without a price"):
        assert shown in text
    assert 'title="m-2"' not in text
    today = datetime.now(UTC).date()
    text = admin_client.get(
        f"/admin/usage/dailyusage/?day_from={today - timedelta(days=9)}&day_to={today}"
    ).text
    assert 'title="m-2"' in text


def test_hourly_usage_is_filtered_and_not_counted(admin_client: Client) -> None:
    hour(0, model="m-1")
    hour(30, model="m-2")
    text = admin_client.get("/admin/usage/hourlyusage/?age=day").text
    assert "m-1" in text
    assert 'title="m-2"' not in text


def test_a_request_shows_why_it_went_where_it_went(admin_client: Client) -> None:
    decision = (
        '["weighted",[["llm-a",0,3,"places"],["llm-b",0,1,"chosen"],["<b>c",0,1,"ejected"]],'
        '0,0,"",[],"","","","retry"]'
    )
    failed = attempt(
        9, request_id="req-1", deployment="llm-b", upstream_model="gpt-4o", decision=decision,
        status="failed", http_status=503, error_class="http_503",
    )  # fmt: skip
    attempt(8, request_id="req-1", attempt_number=2)
    page = admin_client.get(f"{LIST}{failed.pk}/change/").text
    assert "OpenAI as gpt-4o" in page
    assert (
        '<li class="sy-why-chosen"><b>llm-b</b> asked, the first in line that had room '
        "(priority 0, weight 1).</li>"
    ) in page
    assert "<b>&lt;b&gt;c</b> left out, it was put aside after failures" in page
    assert "It failed with HTTP status 503: another attempt was made." in page


def test_a_request_of_before_says_that_nobody_knows(admin_client: Client) -> None:
    page = admin_client.get(f"{LIST}{attempt(9).pk}/change/").text
    assert "No decision was recorded: the row is of a version that kept none." in page


def test_requests_of_a_chat_are_found_and_lead_to_each_other(admin_client: Client) -> None:
    one = attempt(1, model="m-1", chat_id="040539c8-8d3c", task="title_generation")
    attempt(2, model="m-2", chat_id="040539c8-8d3c")
    attempt(3, model="m-3", chat_id="other&<b>")
    attempt(4, model="m-4")
    assert models_shown(admin_client, "?chat=040539c8-8d3c") == ["m-1", "m-2"]
    assert models_shown(admin_client, "?chat=other%26%3Cb%3E") == ["m-3"]
    assert models_shown(admin_client, "?chat=040539c8") == []
    assert models_shown(admin_client, "?chat=a%00b") == []
    page = admin_client.get(LIST).text
    assert f'href="{LIST}?chat=040539c8-8d3c"' in page
    assert "chat 040539c8…" in page
    assert "title_generation" in page
    assert "<b>" not in page.split("other&amp;", 1)[1][:40]
    assert f'href="{LIST}?chat=040539c8-8d3c"' in admin_client.get(f"{LIST}{one.pk}/change/").text


def test_what_no_tokens_count_is_shown(admin_client: Client) -> None:
    row = attempt(1, images=1, audio_seconds=1200, characters=30)
    told = "1 image, 1,200 s heard, 30 characters spoken"
    assert told in admin_client.get(LIST).text
    assert told in admin_client.get(f"{LIST}{row.pk}/change/").text
