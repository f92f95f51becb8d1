"""What an import did, as text for a terminal. API keys that are keys of the file are masked."""

from collections.abc import Iterable, Sequence
from typing import Literal

from gateway.configuration import PlanItem, Report
from keys.forms import dollars_text
from providers.litellm_records import Said, Verdict

type Side = Literal["from", "to"]

# What asks for attention first.
_ORDER: tuple[tuple[Said, str], ...] = (
    ("warning", "works, but look"),
    ("unsupported", "not available here"),
    ("changed", "works, and differs from LiteLLM"),
    ("inert", "LiteLLM does nothing with it either"),
    ("applied", "works"),
)
_MARKS = {"create": "+", "update": "~", "delete": "-", "keep": "="}


def report_as_text(report: Report, dry_run: bool) -> str:
    """Verdicts by kind with their lines, then the plan."""
    parts = [_group(said, meaning, report.verdicts) for said, meaning in _ORDER]
    title = "Plan (nothing was changed)" if dry_run else "Done" if report.changes() else "Nothing to change"
    parts.append(f"{title}:\n{plan_as_text(report.plan)}")
    return "\n\n".join(part for part in parts if part)


def _group(said: Said, meaning: str, verdicts: Iterable[Verdict]) -> str:
    found = [verdict for verdict in verdicts if verdict.verdict == said]
    if not found:
        return ""
    width = min(64, max(len(verdict.shown) for verdict in found))
    lines = [f"  {v.line:>5}  {v.shown:<{width}}  {v.note}".rstrip() for v in found]
    return "\n".join([f"{said} ({len(found)}): {meaning}", *lines])


def plan_as_text(plan: Sequence[PlanItem]) -> str:
    """One line a row; what changes on it beneath."""
    return "\n".join(line for item in plan for line in _item(item)) or "  (no rows)"


def _item(item: PlanItem) -> list[str]:
    note = f"  ({item.note})" if item.note else ""
    lines = [f"  {_MARKS[item.action]} {item.action:<6} {item.object:<10} {item.name}{note}"]
    for name, change in item.changes.items():
        old, new = (_shown(item, name, side, change[side]) for side in ("from", "to"))
        if item.action == "create" and change["to"] not in (None, "", {}, [], False, "none"):
            lines.append(f"      {name}: {new}")
        elif item.action != "create":
            lines.append(f"      {name}: {old} -> {new}")
    return lines


def _shown(item: PlanItem, field: str, side: Side, value: object) -> object:
    """Amounts of cost in dollars: their rows hold nano-dollars."""
    if (item.object, field) != ("Limit", "amount") or not isinstance(value, int):
        return value
    # a row's title ends with what it limits, such as `alice: cost per month`
    named = item.changes["metric"][side] if "metric" in item.changes else item.name.rpartition(": ")[2]
    return f"${dollars_text(value)}" if str(named).split(" ")[0] == "cost" else value
