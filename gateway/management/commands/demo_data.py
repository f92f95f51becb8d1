"""`manage.py demo_data BASE_URL`: the rows of `make demo` - provider `local`, model `demo`, user and key."""

import json
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import transaction

from gateway.command import LineCommand
from keys import issuing
from keys.models import ApiKey
from providers.changes import change
from providers.destinations import host_key
from providers.models import Deployment, Model, Price, Provider, Sourced

COMMAND = Sourced.Source.COMMAND


def _make_route(base_url: str, upstream_model: str) -> None:
    """The demo starts its model on another port each time, and so confirms that loopback address."""
    place = {"base_url": base_url, "confirmed_host": host_key(base_url)}
    with change():
        provider, _ = Provider.objects.update_or_create(
            name="local", defaults=place, create_defaults={**place, "source": COMMAND}
        )
        model, _ = Model.objects.get_or_create(name="demo", defaults={"source": COMMAND})
        route = {"model": model, "provider": provider, "upstream_model": upstream_model, "source": COMMAND}
        deployment, _ = Deployment.objects.get_or_create(name="demo @ local", defaults=route)
        if not deployment.prices.exists():
            notes = "Your own machine asks nothing."
            Price.objects.create(deployment=deployment, source=Price.Source.COMMAND, notes=notes)


@transaction.atomic
def _make_secrets() -> dict[str, str]:
    """User `admin` and key `demo`, also after a first start that was cut short: nobody saw its own."""
    password = secrets.token_urlsafe(12)
    user = User.objects.filter(username="admin").first() or User(username="admin")
    user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save()
    ApiKey.objects.filter(name="demo").delete()
    _, key = issuing.issue("demo", source=COMMAND)
    return {"password": password, "key": key}


class Command(LineCommand):
    help = (
        "For `make demo`: migrate, make its rows, and print its password and key as JSON "
        "({} when $SWITCHYARD_DATA/demo_ready tells that they were shown before)."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("base_url", help="of the model's server, with /v1")
        parser.add_argument("upstream_model", help="the server's own name for the model")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        _make_route(options["base_url"], options["upstream_model"])
        shown = (settings.DATA_DIR / "demo_ready").exists()
        self.stdout.write(json.dumps({} if shown else _make_secrets()))
