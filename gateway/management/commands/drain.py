"""`manage.py drain`: a deployment takes nothing new, and what runs there may end."""

import json
import time
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway import control_client
from gateway.command import LineCommand, database_problem
from gateway.control_client import ControlError
from gateway.running import running
from providers.changes import ConfigVersion, set_on_each
from providers.models import Deployment

_LOOK_SECONDS = 0.2
# A request that chose the deployment before its worker knew may be about to be sent: it would wait no longer
# than for Redis.
_QUIET_SECONDS = 0.5
_MOST_NAMED = 3


class Command(LineCommand):
    help = "Send nothing new to a deployment; what runs there ends by itself. Prints one JSON object."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("deployment", help="its name, as in the admin")
        parser.add_argument("--wait", action="store_true", help="until nothing runs there any more")
        parser.add_argument("--timeout", type=float, metavar="SECONDS", help="exit 1 when it takes longer")

    def handle(self, *args: str, **options: Any) -> None:
        timeout: float | None = options["timeout"]
        if timeout is not None and not options["wait"]:
            raise CommandError("--timeout goes with --wait.")
        try:
            row = _find(options["deployment"])
            state, version = _drain(row)
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        running = self._wait(row, version, timeout) if options["wait"] else _now(row)
        told = {"deployment": row.name, "state": state, "in_flight": running}
        self.stdout.write(json.dumps(told, ensure_ascii=False))

    def _wait(self, row: Deployment, version: int, timeout: float | None) -> int:
        """Return 0 when every worker has this version and nothing is in flight for a while."""
        deadline = None if timeout is None else time.monotonic() + timeout
        running: int | None = None
        told = ""
        quiet_since: float | None = None
        try:
            while True:
                running = _running(row, version)
                if (text := _progress(running)) != told:
                    self.stderr.write(text)
                    told = text
                now = time.monotonic()
                quiet_since = None if running != 0 else quiet_since or now
                if quiet_since is not None and now - quiet_since >= _QUIET_SECONDS:
                    return 0
                if deadline is not None and now >= deadline:
                    raise CommandError(_unfinished(row, running, f"after {timeout:g} s"))
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise CommandError(_unfinished(row, running, "when this was interrupted")) from None
        except ControlError as error:
            raise CommandError(f"{error} {row.name} takes nothing new.") from None


def _find(name: str) -> Deployment:
    try:
        return Deployment.objects.get(name=name)
    except Deployment.DoesNotExist:
        names = list(Deployment.objects.order_by("name").values_list("name", flat=True))
        raise CommandError(f"There is no deployment {name!r}{_instead(name, names)}.") from None


def _instead(name: str, names: list[str]) -> str:
    """The nearest of these names, ready to stand behind a sentence."""
    by_lower = {known.lower(): known for known in names}
    near = [known for lower, known in by_lower.items() if name.lower() in lower]
    near += [by_lower[lower] for lower in get_close_matches(name.lower(), by_lower, _MOST_NAMED, 0.0)]
    found = ", ".join(list(dict.fromkeys(near))[:_MOST_NAMED])
    return f"; the nearest are: {found}" if found else "; there is none at all"


def _drain(row: Deployment) -> tuple[str, int]:
    """Its state from now on, and a version of the configuration that has it. Disabled is no less."""
    if row.state == Deployment.State.ACTIVE:
        set_on_each([row], "state", Deployment.State.DRAINING, "manage.py drain")
    return str(row.state), ConfigVersion.current()


def _now(row: Deployment) -> int | None:
    """In flight at this moment; None: nobody can tell."""
    found = running(seconds=2.0)
    return None if found is None else found.in_flight.get(row.pk, 0)


def _running(row: Deployment, version: int) -> int | None:
    """In flight, once all workers route by this version; None before. Raises `ControlError`."""
    told = control_client.ask(settings.DATA_DIR, {"op": "in_flight"})
    if told["silent"] or told["version"] < version:
        return None
    return int(told["in_flight"].get(str(row.pk), 0))


def _progress(running: int | None) -> str:
    if running is None:
        return "waiting for every worker to know; one that refuses the configuration says so in its log"
    return f"{running} in flight"


def _unfinished(row: Deployment, running: int | None, when: str) -> str:
    if running is None:
        return f"Not every worker knew {when} that {row.name} takes nothing new."
    return (
        f"{running} {'is' if running == 1 else 'are'} in flight at {row.name} {when}; it takes nothing new."
    )
