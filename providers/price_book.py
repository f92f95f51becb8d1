"""The prices of deployments, read from the database: who has which, and who has none."""

from collections.abc import Collection, Iterable, Iterator

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from providers.models import Deployment, Price
from providers.prices import BadPrice, PriceList, timeline

log = structlog.get_logger(__name__)

type Timelines = dict[int, tuple[PriceList, ...]]


def timelines(deployments: Iterable[Deployment]) -> Timelines:
    """By deployment id all its prices in the order of time, those still to come as well; in one query.

    The providers of the deployments are looked at.
    """
    rows = list(deployments)
    return arranged(rows, prices_of(rows))


def prices_of(deployments: Collection[Deployment]) -> list[Price]:
    """The prices that may hold for one of these."""
    named = Q(deployment__in=[row.pk for row in deployments])
    general = Q(deployment__isnull=True, upstream_model__in={row.upstream_model for row in deployments})
    return list(Price.objects.filter(named | general))


def arranged(deployments: Iterable[Deployment], prices: Iterable[Price]) -> Timelines:
    """These prices by the deployments for which they hold, without a query."""
    own: dict[int, list[PriceList]] = {}
    shared: dict[tuple[str, str], list[PriceList]] = {}
    found = {price.pk: price for price in prices}
    for read in readable(found.values()):
        price = found[read.id]
        if price.deployment_id is not None:
            own.setdefault(price.deployment_id, []).append(read)
        else:
            shared.setdefault((price.kind, price.upstream_model), []).append(read)
    return {
        row.pk: timeline(own.get(row.pk, []), shared.get((row.provider.kind, row.upstream_model), []))
        for row in deployments
    }


def readable(prices: Iterable[Price]) -> Iterator[PriceList]:
    """These prices as whole numbers; one that was written past the form and is none is left out."""
    for price in prices:
        try:
            yield price.price_list()
        except BadPrice as error:
            log.error("price_unreadable", price=price.pk, error=str(error))


def without_price(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Those of the deployments for which no price holds now."""
    return deployments.filter(~Exists(_holding_now()))


def with_price(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Those of the deployments for which a price holds now."""
    return deployments.filter(Exists(_holding_now()))


def _holding_now() -> QuerySet[Price]:
    own = Q(deployment=OuterRef("pk"))
    general = Q(
        deployment__isnull=True, kind=OuterRef("provider__kind"), upstream_model=OuterRef("upstream_model")
    )
    return Price.objects.filter(own | general, effective_from__lte=Now())
