"""`manage.py discover_models PROVIDER`: the models that a provider lists, and the chosen ones added."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway.command import LineCommand, database_problem
from providers import discovery
from providers.discovery import Catalogue, NotDiscovered, Offer, Outcome
from providers.models import Provider
from providers.spelling import nearest


class Command(LineCommand):
    help = "List the models that a provider has, and add those that are chosen as models with a deployment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", metavar="PROVIDER", help="its name, as in the admin")
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--add", default="", metavar="A,B", help="add these, by the provider's own names")
        chosen.add_argument("--all", action="store_true", help="add every one that is not served yet")
        parser.add_argument("--prefix", default="", metavar="P", help="put before the names that clients use")
        parser.add_argument(
            "--join", action="store_true", help="a model that has the name gets one deployment more"
        )
        parser.add_argument("--format", default="text", metavar="text|json", help="default: text")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["format"] not in ("text", "json"):
            raise CommandError(f"--format is text or json, not {options['format']!r}.")
        try:
            provider = _provider(options["provider"])
            catalogue = _asked(provider)
            offers = discovery.offers(provider, catalogue.models, options["prefix"])
            chosen = _chosen(offers, options)
            outcomes = discovery.add(provider, chosen, join=options["join"]) if chosen else []
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        by_id = {each.id: each for each in outcomes}
        if options["format"] == "json":
            told = {
                "provider": provider.name,
                "unusable": catalogue.unusable,
                "models": [discovery.data_of(each, by_id) for each in offers],
            }
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            self.stdout.write(_text(catalogue, offers, by_id))


def _provider(name: str) -> Provider:
    found = Provider.objects.filter(name=name).first()
    if found is None:
        known = Provider.objects.values_list("name", flat=True)
        raise CommandError(f"there is no provider {name!r}{nearest(name, known)}")
    return found


def _asked(provider: Provider) -> Catalogue:
    try:
        return discovery.discover(provider)
    except NotDiscovered as error:
        raise CommandError(f"{provider.name}: {error}") from None


def _chosen(offers: Sequence[Offer], options: Mapping[str, Any]) -> list[Offer]:
    """Raises `CommandError` when a name is none of the provider's: then nothing is added."""
    if options["all"]:
        return [each for each in offers if not each.served_as]
    wanted = [id for text in options["add"].split(",") if (id := text.strip())]
    known = {each.listed.id for each in offers}
    for id in wanted:
        if id not in known:
            raise CommandError(f"{options['provider']} lists no model {id!r}{nearest(id, known)}")
    return discovery.chosen_of(offers, set(wanted))


def _text(catalogue: Catalogue, offers: Sequence[Offer], outcomes: Mapping[str, Outcome]) -> str:
    """A line a model: its name, what it is for, its tokens, and how it stands or what became of it."""
    rows = [(each.listed.id, each.listed.kind, _tokens(each), _state(each, outcomes)) for each in offers]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    done = sum(each.done != "left out" for each in outcomes.values())
    new = sum(each.is_new for each in offers)
    summary = f"{len(offers)} models, {new} new" + (f", {done} added" if outcomes else "")
    unusable = f", {catalogue.unusable} entries without a usable name" if catalogue.unusable else ""
    return "\n".join([*lines, summary + unusable])


def _tokens(offer: Offer) -> str:
    most = offer.listed.max_input_tokens
    return f"{most} tokens" if most else "-"


def _state(offer: Offer, outcomes: Mapping[str, Outcome]) -> str:
    if outcome := outcomes.get(offer.listed.id):
        named = f"{outcome.done} as {outcome.name}"
        return f"{outcome.done}: {outcome.why}" if outcome.why else named
    if offer.served_as:
        return f"served as {', '.join(offer.served_as)}"
    return "new, but its name is taken (--join, --prefix)" if offer.taken else "new"
