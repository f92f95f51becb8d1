"""How the console writes numbers."""

from django import template
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from usage.amounts import dollars, duration

register = template.Library()
_UNITS = ((10**9, "B"), (10**6, "M"), (10**4, "k"))


@register.filter
def short(number: int) -> str:
    """`9,431`, `12.3k`, `4.5M`."""
    for size, unit in _UNITS:
        if number >= size:
            scaled = number / (1000 if unit == "k" else size)
            return f"{scaled:.1f}".removesuffix(".0") + unit if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{number:,}"


@register.filter
def whole(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


@register.filter
def percent(share: float) -> str:
    """`0 %`, `0.4 %`, `12 %`."""
    if not share:
        return "0 %"
    return f"{share:.1%}".replace("%", " %") if share < 0.1 else f"{share:.0%}".replace("%", " %")


@register.filter
def milliseconds(value: float | None) -> str:
    """`340 ms`, `2.1 s`, or a dash."""
    return duration(value)


@register.filter
def nano(value: int) -> str:
    """Nano-dollars as dollars."""
    return dollars(value)


@register.filter
def units(value: float) -> str:
    """A number for an SVG attribute, whatever the locale's decimal mark is."""
    return f"{value:.2f}"


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """A Material symbol, silent for screen readers."""
    return format_html('<span class="material-symbols-outlined {}" aria-hidden="true">{}</span>', extra, name)


@register.filter
def crumb(title: object) -> str:
    """A part of the page's path: a row as it is named, a kind of rows with a capital."""
    return str(title) if isinstance(title, Model) else capfirst(str(title)) or ""
