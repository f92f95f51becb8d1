"""Bringing the rows to what a config file says: the plan, and carrying it out in one transaction."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from django.core.management.base import CommandError
from django.db import transaction
from django.utils.crypto import salted_hmac

from gateway.config_rows import CONFIGURED, TABLES
from gateway.config_table import SECRET_FIELDS, Fields, Named, Table, Wanted
from gateway.models import ImportedFile
from providers import secrets
from providers.changes import change
from providers.litellm_config import ConfigError, read
from providers.litellm_fallbacks import loop_in
from providers.litellm_models import free_name
from providers.litellm_records import Config, Surroundings, Verdict
from providers.models import Sourced

type Action = Literal["create", "update", "delete", "keep"]
_FILE = Sourced.Source.FILE
# Changes when more of a file is applied than before: it is then imported again at start.
_READING = "2"


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One row; `changes` maps field -> {"from", "to"}, secrets only as words."""

    action: Action
    object: str
    name: str
    changes: dict[str, dict[str, Any]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A config file that was read: `digest` changes with its text, its includes and what it took from
    the environment."""

    path: Path
    digest: str
    config: Config


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did, or would do."""

    verdicts: tuple[Verdict, ...]
    plan: tuple[PlanItem, ...]

    def changes(self) -> int:
        return sum(item.action != "keep" for item in self.plan)


@dataclass(frozen=True, slots=True)
class _Step:
    """A plan item with what carrying it out takes; `imported` is what the row remembers of the file."""

    item: PlanItem
    table: Table
    wanted: Wanted | None
    row: Any
    changed: Fields
    imported: Fields | None


@dataclass(slots=True)
class _Plan:
    overwrite: bool
    named: Named = field(default_factory=Named)
    steps: list[_Step] = field(default_factory=list)
    rows: list[tuple[Table, list[Any]]] = field(default_factory=list)


def read_file(path: str) -> Source:
    """Read and understand a file and what it includes. Raises `ConfigError`; touches no row."""
    file = Path(path)
    texts: list[str] = []

    def text_of(place: Path) -> str:
        texts.append(place.read_bytes().decode("utf-8-sig"))
        return texts[-1]

    try:
        text = text_of(file)
    except OSError as error:
        raise ConfigError(error.strerror or "cannot be read", path) from None
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text", path) from None
    surroundings = Surroundings(os.environ, secrets.may_refer_to, lambda name: text_of(file.parent / name))
    config = read(text, path, surroundings)
    return Source(file, _digest(texts, config), config)


def _digest(texts: Iterable[str], config: Config) -> str:
    """Values of variables enter keyed: a plain hash of a weak key could be searched for."""
    taken = [
        f"{name}={salted_hmac('switchyard.import', value, algorithm='sha256').hexdigest()}"
        for name, value in sorted(config.resolved.items())
    ]
    return hashlib.sha256("\0".join([_READING, *texts, *taken]).encode()).hexdigest()


def import_file(path: str, *, dry_run: bool = False, prune: bool = False, overwrite: bool = False) -> Report:
    """Bring the rows to what the file says, wholly or not at all. Raises `ConfigError`."""
    return _import(read_file(path), dry_run=dry_run, prune=prune, overwrite=overwrite)


def _import(source: Source, *, dry_run: bool, prune: bool, overwrite: bool) -> Report:
    with transaction.atomic():
        plan = _planned(source.config, prune, overwrite)
        report = Report(source.config.verdicts, tuple(step.item for step in plan.steps))
        if not dry_run:
            _remember_kept(plan)
            if report.changes():
                with change():
                    _carry_out(plan, f"import of {source.path.name}")
            ImportedFile.objects.update_or_create(
                path=str(source.path.absolute()), defaults={"sha256": source.digest}
            )
    return report


@dataclass(frozen=True, slots=True)
class StartSummary:
    """What importing at start came to; its text is one line for the log."""

    path: str
    imported: bool
    verdicts: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    warnings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.imported:
            return f"{self.path}: unchanged since its last import"
        counted = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        lines = [f"{self.path}: imported, {self.changes} rows changed; keys: {counted or 'none'}"]
        return "; ".join([*lines, *self.warnings, *self.kept])


def import_at_start(path: str) -> StartSummary:
    """Import a file unless its last import was of the same content. Raises `CommandError`."""
    try:
        source = read_file(path)
        known = ImportedFile.objects.filter(path=str(source.path.absolute())).first()
        if known is not None and known.sha256 == source.digest:
            return StartSummary(path, imported=False)
        report = _import(source, dry_run=False, prune=False, overwrite=False)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    return StartSummary(
        path,
        imported=True,
        verdicts=dict(Counter(verdict.verdict for verdict in report.verdicts)),
        changes=report.changes(),
        warnings=tuple(
            f"line {v.line} {v.shown}: {v.note}" for v in report.verdicts if v.verdict == "warning"
        ),
        kept=tuple(f"{item.object} {item.name}: {item.note}" for item in report.plan if item.note),
    )


def differences(path: str) -> tuple[PlanItem, ...]:
    """What would have to change here to be what the file says, edits in the admin included."""
    source = read_file(path)
    with transaction.atomic():
        steps = _planned(source.config, prune=True, overwrite=True).steps
        items = [step.item for step in steps if step.item.action != "keep"]
        return tuple(items + _only_here(steps))


def _only_here(steps: list[_Step]) -> list[PlanItem]:
    """Rows made here that no file names. Keys are no part of it: they are made here as a rule."""
    named = {(step.table.label, step.row.pk) for step in steps if step.row is not None}
    return [
        PlanItem("delete", table.label, table.title(row), {}, "only here, not in the file")
        for table in CONFIGURED
        for row in table.rows([], Named())
        if (table.label, row.pk) not in named
    ]


# --- planning ----------------------------------------------------------------------------------


def _planned(config: Config, prune: bool, overwrite: bool) -> _Plan:
    plan = _Plan(overwrite)
    orphans: list[tuple[Table, Any]] = []
    for table in TABLES:
        wanted = table.wanted(config)
        rows = table.rows(wanted, plan.named)
        plan.rows.append((table, rows))
        matched = _matched(table, wanted, rows, plan.named)
        made: set[str] = set()
        for want, row in zip(wanted, matched, strict=True):
            if row is None:
                plan.steps.append(_creation(table, want, made))
            else:
                plan.named.remember(table.label, want.name, row)
                plan.steps.append(_comparison(table, want, row, plan))
        claimed = {row.pk for row in matched if row is not None}
        orphans += [(table, row) for row in rows if row.source == _FILE and row.pk not in claimed]
    # Users before what they use: limits, keys and deployments go before models and providers.
    leaving = {row.pk for table, row in orphans if table.label == "Deployment"}
    plan.steps += [_orphan(table, row, prune, leaving) for table, row in reversed(orphans)]
    _refuse_loops(plan, config)
    return plan


def _refuse_loops(plan: _Plan, config: Config) -> None:
    """Raise `ConfigError` where the file and what was made here would lead from a model back to itself."""
    table = next(table for table in TABLES if table.label == "Fallback")
    steps = [step for step in plan.steps if step.table is table]
    gone = {step.row.pk for step in steps if step.item.action == "delete"}
    changed = {step.row.pk: step.changed for step in steps if step.row is not None}
    found = [
        {**table.current(row, plan.named), **changed.get(row.pk, {})}
        for row in table.rows([], plan.named)
        if row.pk not in gone
    ]
    found += [step.changed for step in steps if step.row is None]
    loop = loop_in((fields["model"], fields["to"]) for fields in found)
    steps_of_loop = set(pairwise(loop))
    blamed = [record for record in config.fallbacks if (record.model, record.to) in steps_of_loop]
    if blamed:
        told = (
            "with what is configured here this leads back to itself (--prune deletes what the file left out)"
        )
        raise ConfigError(f"{told}: {' to '.join(loop)}", blamed[-1].where)


def _matched(table: Table, wanted: list[Wanted], rows: list[Any], named: Named) -> list[Any]:
    """The row of each wanted one, or None: the same thing first, then what had its name when imported."""
    found: dict[int, Any] = {}
    claimed: set[Any] = set()
    same: dict[Hashable, list[Any]] = {}
    namesakes: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: row.source != _FILE):
        same.setdefault(table.identity(table.current(row, named)), []).append(row)
        if row.source == _FILE:
            namesakes.setdefault(row.imported.get("name", ""), []).append(row)

    def claim(candidates: Callable[[Wanted], list[Any]]) -> None:
        for index, want in enumerate(wanted):
            free = (row for row in candidates(want) if row.pk not in claimed)
            if index not in found and (row := next(free, None)) is not None:
                found[index] = row
                claimed.add(row.pk)

    def identical(want: Wanted) -> list[Any]:
        return same.get(table.identity(want.fields), [])

    claim(lambda want: [row for row in identical(want) if row in namesakes.get(want.name, [])])
    claim(identical)
    claim(lambda want: namesakes.get(want.name, []))
    return [found.get(index) for index in range(len(wanted))]


def _shown(name: str, value: Any) -> Any:
    return ("set" if value else "none") if name in SECRET_FIELDS else value


def _replaced(name: str, value: Any) -> Any:
    return "replaced" if value and name in SECRET_FIELDS else _shown(name, value)


def _creation(table: Table, want: Wanted, made: set[str]) -> _Step:
    name = free_name(want.name, made | table.namesakes(want.name))
    made.add(name)
    fields = {**want.fields, "name": name} if "name" in want.fields else want.fields
    changes = {key: {"from": None, "to": _shown(key, value)} for key, value in fields.items()}
    item = PlanItem("create", table.label, name, changes)
    return _Step(item, table, want, None, fields, {**want.fields, "name": want.name})


def _comparison(table: Table, want: Wanted, row: Any, plan: _Plan) -> _Step:
    """Update what the file changed; keep, and say so, what was edited here since the last import."""
    current = table.current(row, plan.named)
    before = table.imported(row, current)
    changed: Fields = {}
    kept: list[str] = []
    for name, value in want.fields.items():
        if current[name] == value:
            continue
        edited = row.source != _FILE or name not in before or before[name] != current[name]
        if edited and not plan.overwrite:
            kept.append(_kept(name, table.worded(current, name), table.worded(want.fields, name)))
        else:
            changed[name] = value
    changes = {
        name: {"from": _shown(name, current[name]), "to": _replaced(name, value)}
        for name, value in changed.items()
    }
    item = PlanItem("update" if changed else "keep", table.label, table.title(row), changes, "; ".join(kept))
    owned = row.source == _FILE or bool(changed)
    imported = {**want.fields, "name": row.imported.get("name", want.name)} if owned else None
    return _Step(item, table, want, row, changed, imported)


def _kept(name: str, here: str, there: str) -> str:
    if name in SECRET_FIELDS:
        return f"{name} was edited here and is kept"
    return f"{name} was edited here: kept {here}, the file says {there}"


def _orphan(table: Table, row: Any, prune: bool, leaving: set[Any]) -> _Step:
    """A row of the file that it no longer names."""
    obstacle = table.obstacle(row, leaving) if prune else "only --prune deletes it"
    note = f"no longer in the file, but {obstacle}" if obstacle else ""
    item = PlanItem("keep" if obstacle else "delete", table.label, table.title(row), {}, note)
    return _Step(item, table, None, row, {}, None)


# --- carrying out ------------------------------------------------------------------------------


def _remember_kept(plan: _Plan) -> None:
    """What the file says now of rows that stay as they are; no reader of configuration sees this."""
    for step in plan.steps:
        if step.item.action == "keep" and step.imported is not None and step.row.imported != step.imported:
            type(step.row).objects.filter(pk=step.row.pk).update(imported=step.imported)


def _carry_out(plan: _Plan, reason: str) -> None:
    for table, rows in plan.rows:
        writing = [
            step.wanted
            for step in plan.steps
            if step.table is table and step.wanted is not None and step.item.action != "keep"
        ]
        table.prepare(rows, writing, plan.named)
    for step in plan.steps:
        if step.item.action == "delete":
            step.table.remove(step.row, reason)
        elif step.wanted is not None and step.item.action != "keep":
            row = step.row if step.row is not None else step.table.new(step.item.name)
            step.table.write(row, step.wanted, step.changed, plan.named)
            row.source, row.imported = _FILE, step.imported
            row._change_reason = _reason(step, reason)
            row.save()
            plan.named.remember(step.table.label, step.wanted.name, row)


def _reason(step: _Step, reason: str) -> str:
    """What the row's history says; a private address counts as confirmed by naming it."""
    host = step.changed.get("confirmed_host")
    return f"{reason[:40]}: private address {host} confirmed"[:100] if host else reason[:100]
