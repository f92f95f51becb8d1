"""The console's page of the models that a provider has, on which the chosen ones are added."""

from collections.abc import Sequence
from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import action

from providers import discovery
from providers.console import ConsoleAdmin
from providers.discovery import NotDiscovered, Offer, Outcome
from providers.models import Provider, Sourced

_NEEDED = ("providers.change_provider", "providers.add_model", "providers.add_deployment")
_MOST_TOLD = 10
_ids = msgspec.json.Decoder(list[str])


class DiscoveringAdmin(ConsoleAdmin):
    """A provider's pages with the action that asks it which models it has."""

    actions_detail = ("discover_here",)  # type: ignore[assignment]

    def has_discover_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change providers and add what is found."""
        return bool(request.user.has_perms(_NEEDED))

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.discover_view)
        own = path("<uuid:pk>/discover/", page, name="providers_provider_discover")
        return [own, *super().get_urls()]  # type: ignore[no-untyped-call]

    @action(description="Discover models", permissions=["discover"], icon="travel_explore")
    def discover_here(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:providers_provider_discover", args=[object_id]))

    @action(description="Discover models of the chosen provider...", permissions=["discover"])
    def discover(self, request: HttpRequest, rows: QuerySet[Provider]) -> HttpResponse | None:
        chosen = list(rows.values_list("pk", flat=True)[:2])
        if len(chosen) == 1:
            url = reverse("admin:providers_provider_discover", args=chosen)
            return HttpResponseRedirect(url)
        self.message_user(request, "Choose one provider to discover its models.", messages.WARNING)
        return None

    def discover_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """GET asks the provider and shows its list; POST asks it again and adds what was chosen of it."""
        if not self.has_discover_permission(request):
            raise PermissionDenied
        provider = Provider.objects.filter(pk=pk).first()
        if provider is None:
            raise Http404
        prefix = request.POST.get("prefix", "").strip()
        join = request.POST.get("join") == "on"
        chosen = _chosen(request) if request.method == "POST" else frozenset()
        problem, unusable = "", 0
        offers: list[Offer] = []
        try:
            catalogue = discovery.discover(provider)
            unusable = catalogue.unusable
            offers = discovery.offers(provider, catalogue.models, prefix)
        except NotDiscovered as error:
            problem = str(error)
        if request.method == "POST" and not problem:
            if self._add(request, provider, discovery.chosen_of(offers, chosen), len(chosen), join=join):
                url = reverse("admin:providers_deployment_changelist")
                return HttpResponseRedirect(f"{url}?provider__id__exact={provider.pk}")
            offers = discovery.offers(provider, catalogue.models, prefix)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Models of {provider.name}",
            "opts": self.opts,
            "provider": provider,
            "offers": offers,
            "new": sum(each.is_new for each in offers),
            "unusable": unusable,
            "problem": problem,
            "chosen": chosen,
            "prefix": prefix,
            "join": join,
        }
        return TemplateResponse(request, "console/discover.html", context)

    def _add(
        self, request: HttpRequest, provider: Provider, offers: Sequence[Offer], asked: int, *, join: bool
    ) -> bool:
        """Add these and say what became of them; whether any was added."""
        if not offers:
            text = "Choose the models to add." if not asked else "The provider lists none of these any more."
            self.message_user(request, text, messages.WARNING)
            return False
        try:
            outcomes = discovery.add(provider, offers, join=join, source=Sourced.Source.ADMIN)
        except IntegrityError:  # two operators at once: nothing of it was written
            text = "Somebody else added one of these just now. Look at the list again."
            self.message_user(request, text, messages.WARNING)
            return False
        done = [each for each in outcomes if each.done != "left out"]
        if done:
            self.message_user(request, _done(done, provider), messages.SUCCESS)
        left_out = [each for each in outcomes if each.done == "left out"]
        if left_out:
            self.message_user(request, _left_out(left_out), messages.WARNING)
        return bool(done)


def _chosen(request: HttpRequest) -> frozenset[str]:
    """The ids of the form: one field of JSON from the page's script, for thousands of fields are refused."""
    given = request.POST.get("chosen_ids", "")
    try:
        ids = _ids.decode(given) if given else []
    except (msgspec.DecodeError, RecursionError):
        ids = []
    return frozenset([*ids, *request.POST.getlist("chosen")])


def _done(outcomes: Sequence[Outcome], provider: Provider) -> str:
    added = sum(each.done == "added" for each in outcomes)
    joined = len(outcomes) - added
    parts = [f"{added} model{'' if added == 1 else 's'}"] if added else []
    if joined:
        parts.append(f"{joined} deployment{'' if joined == 1 else 's'} of models that were there")
    return f"Added {' and '.join(parts)} from {provider.name}."


def _left_out(outcomes: Sequence[Outcome]) -> str:
    told = "; ".join(f"{each.name[:80]}: {each.why}" for each in outcomes[:_MOST_TOLD])
    more = f"; and {len(outcomes) - _MOST_TOLD} more" if len(outcomes) > _MOST_TOLD else ""
    return f"Left out {len(outcomes)}: {told}{more}."
