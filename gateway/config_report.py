"""What an import did, as text for a terminal. API keys that are keys of the file are masked."""

from collections.abc import Iterable, Sequence

from gateway.configuration import PlanItem, Report
from providers.litellm_records import Said, Verdict

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
        if item.action == "create" and change["to"] not in (None, "", {}, [], False, "none"):
            lines.append(f"      {name}: {change['to']}")
        elif item.action != "create":
            lines.append(f"      {name}: {change['from']} -> {change['to']}")
    return lines
