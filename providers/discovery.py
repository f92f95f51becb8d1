"""Which models a provider has: asked of it, compared with what is served, and the chosen ones added."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError

from providers.adapters import anthropic
from providers.changes import change
from providers.connection import Destination, UpstreamError, UpstreamRequest
from providers.destinations import is_confirmed
from providers.listing import Listed, NoList, page_of
from providers.litellm_models import free_name
from providers.models import Deployment, Model, Provider, Sourced
from providers.patterns import is_pattern
from providers.readiness import resolved_base_url, unconfigured, upstream_headers
from providers.transport import Transport

MOST_MODELS = 10_000
_MOST_PAGES = 100
_MOST_BYTES = 16 * 2**20
_SECONDS = 20.0
_OWN_HEADERS = {"accept": "application/json", "user-agent": "switchyard"}
_LONGEST_NAME = 280  # leaves room for the number that tells namesakes apart


class NotDiscovered(Exception):
    """The provider's list could not be had; the message says why on one line, without any secret."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models of a provider in its own order; `unusable`: how many entries could not be read."""

    models: tuple[Listed, ...]
    unusable: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of a provider and how it stands here.

    `name`: what clients would ask for; `served_as`: models that have a deployment of it at this provider;
    `taken`: another model has that name or alias already.
    """

    listed: Listed
    name: str
    served_as: tuple[str, ...]
    taken: bool

    @property
    def is_new(self) -> bool:
        return not self.served_as and not self.taken

    @property
    def kind_text(self) -> str:
        """What it is for, as people read it."""
        return str(Model.Kind(self.listed.kind).label)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model that was to be added: `added`, `joined`, or `left out` and why."""

    id: str
    name: str
    done: str
    why: str = ""


def discover(provider: Provider) -> Catalogue:
    """Ask the provider. Raises `NotDiscovered`. Not for a thread that runs an event loop."""
    if problem := unconfigured(provider):
        raise NotDiscovered(problem)
    return asyncio.run(_discover(provider))


async def _discover(provider: Provider) -> Catalogue:
    transport = Transport(connect_timeout=settings.CONNECT_TIMEOUT)
    try:
        async with asyncio.timeout(_SECONDS):
            return await _pages(provider, transport)
    except TimeoutError:
        raise NotDiscovered(f"it did not send its list within {_SECONDS:g} s") from None
    except (UpstreamError, NoList) as error:
        raise NotDiscovered(_one_line(str(error), provider)) from None
    finally:
        transport.close()


async def _pages(provider: Provider, transport: Transport) -> Catalogue:
    found: dict[str, Listed] = {}
    unusable, after = 0, None
    for _ in range(_MOST_PAGES):
        page = page_of(await _page(provider, transport, after))
        unusable += page.unusable
        fresh = {model.id: model for model in page.models if model.id not in found}
        found |= fresh
        if len(found) > MOST_MODELS:
            raise NotDiscovered(f"it lists more than {MOST_MODELS:,} models")
        if page.after is None:
            return Catalogue(tuple(found.values()), unusable)
        if not fresh:
            raise NotDiscovered("its list repeats itself")
        after = page.after
    raise NotDiscovered(f"its list has more than {_MOST_PAGES} pages")


async def _page(provider: Provider, transport: Transport, after: str | None) -> bytes:
    """The body of one page. Raises `NotDiscovered`, `UpstreamError`."""
    answer = await transport.ask(_request(provider, after))
    try:
        body = await answer.body(_MOST_BYTES)
    finally:
        answer.close()
    if answer.status != 200:
        said = _said(body)
        raise NotDiscovered(_one_line(f"it answered {answer.status}{said and f': {said}'}", provider))
    return body


def _request(provider: Provider, after: str | None) -> UpstreamRequest:
    base_url = resolved_base_url(provider)
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    confirmed = is_confirmed(base_url, provider.confirmed_host)
    headers, query = dict(_OWN_HEADERS), ""
    if provider.kind in anthropic.KINDS:
        headers["anthropic-version"] = anthropic.VERSION
        query = "?limit=1000"
    if after is not None:
        query += f"{'&' if query else '?'}after_id={quote(after, safe='')}"
    return UpstreamRequest(
        destination=Destination(parts.scheme, parts.hostname or "", port, confirmed),
        method="GET",
        path=f"{parts.path.rstrip('/')}/models{query}",
        headers=tuple((headers | dict(upstream_headers(provider))).items()),
        body=b"",
    )


def _said(body: bytes) -> str:
    """A provider's own words in an error, if it has any."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    match told:
        case {"error": {"message": str(text)}} | {"error": str(text)}:
            return text
        case {"message": str(text)} | {"detail": str(text)}:
            return text
    return ""


def _one_line(text: str, provider: Provider) -> str:
    """Fit for a terminal and a page: one short line, nothing of the credential."""
    for _, value in upstream_headers(provider):
        secret = value.removeprefix("Bearer ")
        if len(secret) >= 8:
            text = text.replace(secret, "[hidden]")
    return "".join(char if char.isprintable() else " " for char in text)[:300].strip()


# --- what is served, and adding -----------------------------------------------------------------


def offers(provider: Provider, models: Sequence[Listed], prefix: str = "") -> list[Offer]:
    """Each of these models of the provider, with how it stands here; two queries however many there are."""
    served: dict[str, list[str]] = {}
    rows = Deployment.objects.filter(provider=provider).order_by("model__name")
    for upstream_model, name in rows.values_list("upstream_model", "model__name"):
        served.setdefault(upstream_model, []).append(name)
    taken = _names()
    return [
        Offer(
            listed=each,
            name=f"{prefix}{each.id}",
            served_as=tuple(dict.fromkeys(served.get(each.id, ()))),
            taken=f"{prefix}{each.id}" in taken,
        )
        for each in models
    ]


def _names() -> set[str]:
    """All names that clients may ask for."""
    rows = Model.objects.values_list("name", "aliases", "hidden_aliases")
    return {name for own, *lists in rows for names in ([own], *lists) for name in names}


def add(
    provider: Provider,
    chosen: Sequence[Offer],
    *,
    join: bool = False,
    source: Sourced.Source = Sourced.Source.COMMAND,
) -> list[Outcome]:
    """Add a model and a deployment for each, with their history; what cannot be is left out and told.

    `join`: a model that has the name already gets a deployment more, if it is of the same kind.
    """
    with change():
        adding = _Adding(provider, join, source, {each.name for each in chosen})
        return [adding.add(each) for each in chosen]


class _Adding:
    """Adds one after the other, and asks the database only once which names there are."""

    def __init__(
        self, provider: Provider, join: bool, source: Sourced.Source, names: Collection[str]
    ) -> None:
        self._provider, self._join, self._source = provider, join, source
        self._models = {model.name: model for model in Model.objects.filter(name__in=names)}
        self._taken = _names()
        self._deployments = set(Deployment.objects.values_list("name", flat=True))
        self._reason = f"discovered at {provider.name}"[:100]

    def add(self, offer: Offer) -> Outcome:
        model, done = self._models.get(offer.name), "joined"
        if why := self._refused(offer, model):
            return Outcome(offer.listed.id, offer.name, "left out", why)
        if model is None:
            model, done = self._model_of(offer), "added"
        row = self._deployment_of(offer, model)
        try:
            model.clean_fields()
            row.clean_fields(exclude=["model"])
            row.clean()
        except ValidationError as error:
            return Outcome(offer.listed.id, offer.name, "left out", " ".join(error.messages))
        if done == "added":
            self._save(model)
            self._taken.add(model.name)
            row.model = model
        self._save(row)
        self._deployments.add(row.name)
        return Outcome(offer.listed.id, offer.name, done)

    def _refused(self, offer: Offer, model: Model | None) -> str:
        """Why it cannot be added, or ""."""
        if offer.name in offer.served_as:
            return "served already"
        if is_pattern(offer.name):
            return "a name with a star would stand for others"
        if model is None:
            return "another model has this name as an alias" if offer.name in self._taken else ""
        if not self._join:
            return "another model has this name"
        if model.kind != offer.listed.kind:
            return f"the model of this name is for {model.get_kind_display()}"
        return ""

    def _model_of(self, offer: Offer) -> Model:
        listed = offer.listed
        return Model(
            name=offer.name,
            kind=listed.kind,
            max_input_tokens=listed.max_input_tokens,
            max_output_tokens=listed.max_output_tokens,
            source=self._source,
        )

    def _deployment_of(self, offer: Offer, model: Model) -> Deployment:
        wanted = f"{offer.name}/{self._provider.name}"[:_LONGEST_NAME].strip()
        row = Deployment(
            name=free_name(wanted, self._deployments),
            provider=self._provider,
            upstream_model=offer.listed.id,
            source=self._source,
        )
        row.model = model
        return row

    def _save(self, row: Any) -> None:
        row._change_reason = self._reason  # where django-simple-history looks for it
        row.save()


def chosen_of(every: Sequence[Offer], ids: Collection[str]) -> list[Offer]:
    """Those with these ids, in the provider's order."""
    return [each for each in every if each.listed.id in ids]


def data_of(offer: Offer, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """As JSON has it."""
    outcome = outcomes.get(offer.listed.id)
    return {
        "id": offer.listed.id,
        "kind": offer.listed.kind,
        "max_input_tokens": offer.listed.max_input_tokens,
        "max_output_tokens": offer.listed.max_output_tokens,
        "name": offer.name,
        "served_as": list(offer.served_as),
        "taken": offer.taken,
        "outcome": outcome and outcome.done,
        "why": outcome.why if outcome else "",
    }
