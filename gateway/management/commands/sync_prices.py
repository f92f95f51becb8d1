"""`manage.py sync_prices`: prices of our deployments from the genai-prices package, without any network."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from gateway.command import LineCommand, database_problem
from gateway.moments import moment
from providers.models import Deployment, Price, Provider
from providers.price_sources import Listed, genai_provider, listed_charges
from providers.price_updates import Subject, bring, report
from providers.prices import BadPrice
from providers.spelling import nearest

try:
    from genai_prices.data import providers as listed_providers
except ModuleNotFoundError:  # an optional extra
    listed_providers = []


class Command(LineCommand):
    help = (
        "Write the prices that the installed genai-prices package lists for our deployments. "
        "A changed price holds from now on; what was set in the admin stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--provider", action="append", default=[], metavar="NAME", help="only of this one; repeatable"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
        parser.add_argument(
            "--effective-from", metavar="ISO", help="from when the new prices hold; default: now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not listed_providers:
            raise CommandError("genai-prices is not installed: .venv/bin/pip install genai-prices")
        given = options["effective_from"]
        since = moment("--effective-from", given) if given else timezone.now()
        try:
            subjects = _subjects(options["provider"])
            found = {subject: listed for subject in subjects if (listed := _listed(subject, since))}
            outcomes = bring(found, Price.Source.SYNC, since, dry_run=options["dry_run"])
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        unmatched = [f"{kind}/{model}: unmatched" for kind, model in sorted(subjects - found.keys())]
        self.stdout.write("\n".join([report(outcomes), *unmatched, f"{len(unmatched)} unmatched"]))


def _subjects(names: list[str]) -> set[Subject]:
    """Kind and upstream model of our deployments, at these providers or all."""
    known = set(Provider.objects.values_list("name", flat=True))
    for name in names:
        if name not in known:
            raise CommandError(f"there is no provider {name!r}{nearest(name, known)}")
    rows = Deployment.objects.filter(provider__name__in=names or known)
    return set(rows.order_by().values_list("provider__kind", "upstream_model"))


def _listed(subject: Subject, now: datetime) -> Listed | None:
    kind, model = subject
    wanted = genai_provider(kind)
    for provider in listed_providers:
        if provider.id == wanted and (found := provider.find_model(model.lower())):
            try:
                return listed_charges(found, now)
            except BadPrice:
                return None
    return None
