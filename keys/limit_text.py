"""How the console writes limits: what they allow, of whom, and how full they are."""

from collections.abc import Iterable

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from keys.models import Limit
from providers.console import lines, link

AT_MOST = 3  # what a list cell names before it counts the rest


def measure(limit: Limit) -> str:
    """`1,000 tokens per minute`, `4 parallel requests`, `$12.5 per month`."""
    window = {"": "", "total": " in total"}.get(limit.window, f" per {limit.window}")
    unit = "" if limit.metric == Limit.Metric.COST else f" {limit.get_metric_display()}"
    return f"{limit.amount_text}{unit}{window}"


def limit_text(limit: Limit) -> str:
    """`1,000 tokens per minute (llm)`, as lists show it."""
    each = " for each end user" if limit.each_end_user else ""
    where = f" ({limit.model.name})" if limit.model else ""
    shadow = ", shadow" if limit.mode == Limit.Mode.SHADOW else ""
    return measure(limit) + each + where + shadow


def brief_limits(limits: Iterable[Limit]) -> SafeString | str:
    """The first few limits, a line each, and how many more there are."""
    found = [limit_text(limit) for limit in limits]
    more = [f"and {len(found) - AT_MOST} more"] if len(found) > AT_MOST else []
    return lines(found[:AT_MOST] + more) if found else "-"


def holder_link(limit: Limit) -> SafeString:
    """Whose limit it is, with a link to their page."""
    each = "each end user of " if limit.each_end_user else ""
    for kind, row, page in (
        ("key", limit.key, "keys_apikey"),
        ("team", limit.team, "keys_team"),
        ("end user", limit.end_user, "keys_enduser"),
        ("deployment", limit.deployment, "providers_deployment"),
    ):
        if row is not None:
            text = link(reverse(f"admin:{page}_change", args=[row.pk]), row.name)
            return format_html('{}<span class="sy-note">{}{}</span>', text, each, kind)
    return format_html("{}", "each end user" if limit.each_end_user else "everyone")


def used_cell(limit: Limit, whole: bool = False) -> SafeString | str:
    """A place for the bar of what is used, which the page asks for once it is shown.

    `whole`: with more words, and of a limit for each end user the fullest ones.
    """
    if limit.metric == Limit.Metric.PARALLEL or (limit.each_end_user and not whole):
        return "-"
    text = '<span class="sy-used" data-limit="{}" data-whole="{}" data-url="{}"></span>'
    return format_html(text, limit.pk, "yes" if whole else "", reverse("limits-used"))
