"""The prices of deployments, read from the database: who has which, and who has none."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from providers.models import Deployment, Price, Provider
from providers.patterns import is_pattern
from providers.prices import BadPrice, PriceList, timeline

log = structlog.get_logger(__name__)

type Timelines = dict[int, tuple[PriceList, ...]]
type General = Mapping[tuple[str, str], Sequence[PriceList]]


def timelines(deployments: Iterable[Deployment]) -> Timelines:
    """By deployment id all its prices in the order of time, those still to come as well; in one query.

    The providers of the deployments are looked at.
    """
    rows = list(deployments)
    return arranged(rows, prices_of(rows))


def prices_of(deployments: Collection[Deployment]) -> list[Price]:
    """The prices that may hold for one of these: of a wildcard, all of its provider's kind."""
    named = Q(deployment__in=[row.pk for row in deployments])
    general = Q(upstream_model__in={row.upstream_model for row in deployments})
    if wild := [row.pk for row in deployments if is_pattern(row.upstream_model)]:
        general |= Q(kind__in=Provider.objects.filter(deployments__in=wild).values("kind"))
    return list(Price.objects.filter(named | (general & Q(deployment__isnull=True))))


def arranged(deployments: Iterable[Deployment], prices: Iterable[Price]) -> Timelines:
    """These prices by the deployments for which they hold, without a query."""
    rows = list(prices)
    own: dict[int, list[PriceList]] = {}
    for price, read in _read(price for price in rows if price.deployment_id is not None):
        own.setdefault(price.deployment_id or 0, []).append(read)
    general = general_prices(rows)
    return {
        row.pk: timeline(own.get(row.pk, []), general.get((row.provider.kind, row.upstream_model), []))
        for row in deployments
    }


def general_prices(prices: Iterable[Price]) -> General:
    """The prices of no single deployment, by kind of provider and its name of the model."""
    found: dict[tuple[str, str], list[PriceList]] = {}
    for price, read in _read(price for price in prices if price.deployment_id is None):
        found.setdefault((price.kind, price.upstream_model), []).append(read)
    return found


def readable(prices: Iterable[Price]) -> Iterator[PriceList]:
    """These prices as whole numbers; one that was written past the form and is none is left out."""
    return (read for _, read in _read(prices))


def _read(prices: Iterable[Price]) -> Iterator[tuple[Price, PriceList]]:
    for price in prices:
        try:
            yield price, price.price_list()
        except BadPrice as error:
            log.error("price_unreadable", price=price.pk, error=str(error))


def without_price(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Those of the deployments for which no price holds now; wildcards have the prices of what is asked."""
    return deployments.exclude(upstream_model__contains="*").filter(~Exists(_holding_now()))


def with_price(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Those of the deployments for which a price holds now."""
    return deployments.filter(Exists(_holding_now()))


def _holding_now() -> QuerySet[Price]:
    own = Q(deployment=OuterRef("pk"))
    general = Q(
        deployment__isnull=True, kind=OuterRef("provider__kind"), upstream_model=OuterRef("upstream_model")
    )
    return Price.objects.filter(own | general, effective_from__lte=Now())
