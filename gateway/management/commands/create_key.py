"""`manage.py create_key`: make an API key, with its limits, and print it once."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from gateway.command import LineCommand, database_problem
from keys import issuing, specs
from keys.models import ApiKey, Limit, Team
from providers.models import Model, Sourced

COMMAND = Sourced.Source.COMMAND


@dataclass(frozen=True, slots=True)
class Wish:
    """A key as asked for, read but not yet compared with what exists. `models` None: all of them."""

    name: str
    team: str
    models: tuple[str, ...] | None
    limits: tuple[specs.LimitSpec, ...]
    expires_at: datetime | None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none yet"


def _wish(options: dict[str, Any]) -> Wish:
    name = options["name"].strip()
    if not name:
        raise CommandError("a key needs a name: --name N")
    try:
        limits = tuple(specs.parse_limit(text) for text in options["limit"])
        expires = options["expires"] and specs.parse_expiry(options["expires"], timezone.now())
    except specs.Misspelt as reason:
        raise CommandError(str(reason)) from None
    models = options["models"]
    chosen = None if models is None else tuple(part for text in models.split(",") if (part := text.strip()))
    if chosen == ():
        raise CommandError("--models names no model; leave it out to allow all of them")
    return Wish(name, (options["team"] or "").strip(), chosen, limits, expires or None)


def _team(wish: Wish) -> Team | None:
    if not wish.team:
        return None
    team = Team.objects.filter(name=wish.team).first()
    return team or Team.objects.create(name=wish.team, source=COMMAND)


def _models(names: Sequence[str]) -> dict[str, Model]:
    found = Model.objects.in_bulk(list(names), field_name="name")
    for name in names:
        if name not in found:
            known = list(Model.objects.values_list("name", flat=True))
            near = difflib.get_close_matches(name, known, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {_listed(known[:20])}"
            raise CommandError(f"no model {name!r}; {hint}")
    return found


def _add_limits(key: ApiKey, limits: Iterable[specs.LimitSpec], models: dict[str, Model]) -> None:
    for spec in limits:
        Limit.objects.create(
            key=key,
            model=models[spec.model] if spec.model else None,
            metric=spec.metric,
            amount=spec.amount,
            window=spec.window,
            mode=Limit.Mode.SHADOW if spec.shadow else Limit.Mode.ENFORCE,
            source=COMMAND,
        )


@transaction.atomic
def _create(wish: Wish) -> str:
    """Write the key and all its limits, or nothing; returns its text."""
    if ApiKey.objects.filter(name=wish.name).exists():
        raise CommandError(f"there is a key named {wish.name!r} already; choose another name")
    models = _models([*(wish.models or ()), *(spec.model for spec in wish.limits if spec.model)])
    allowed = None if wish.models is None else [models[name] for name in wish.models]
    key, text = issuing.issue(
        wish.name, team=_team(wish), models=allowed, expires_at=wish.expires_at, source=COMMAND
    )
    _add_limits(key, wish.limits, models)
    return text


def _example_model(wish: Wish) -> str:
    if wish.models:
        return wish.models[0]
    return Model.objects.filter(hidden=False).values_list("name", flat=True).first() or "MODEL"


def _shown(key: str, model: str) -> str:
    host = "127.0.0.1" if settings.HOST in ("0.0.0.0", "::", "") else settings.HOST  # noqa: S104  compared only
    return (
        f"{key}\n\n"
        "Keep it now: it is shown this once and stored nowhere. Try it:\n\n"
        f"curl http://{host}:{settings.PORT}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\''
    )


class Command(LineCommand):
    help = "Make an API key and print it, once. It and its limits hold for the very next request."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="how the key is called in lists and usage; unique")
        parser.add_argument("--team", help="the team it belongs to; made if there is none")
        parser.add_argument("--models", metavar="A,B", help="the only models it may use (default: all)")
        parser.add_argument(
            "--limit",
            action="append",
            default=[],
            metavar="SPEC",
            help="METRIC=AMOUNT[/WINDOW][@model][:shadow], several times if need be; all of them hold. "
            "METRIC: requests, tokens, cost (US dollars, to 9 decimals), parallel (no window). AMOUNT: 1000, "
            "1_000, 1k, 1.5M, of cost also 0.25. WINDOW: second, minute (the default), hour, day, week, "
            "month, total. :shadow counts and refuses nothing. Examples: tokens=100k/day, cost=10/month",
        )
        parser.add_argument(
            "--expires",
            metavar="WHEN",
            help="30d, 12h, 2w, or an ISO date or time (a date: its beginning, UTC). Default: never",
        )
        parser.add_argument("--quiet", action="store_true", help="print the key alone")

    def handle(self, *args: Any, **options: Any) -> None:
        wish = _wish(options)
        try:
            key = _create(wish)
            self.stdout.write(key if options["quiet"] else _shown(key, _example_model(wish)))
        except IntegrityError:
            raise CommandError(f"a key named {wish.name!r} was made at this very moment") from None
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
