"""The console's pages for limits, and the limits on the pages of their holders."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action

from keys.forms import HOLDERS, LimitForm
from keys.key_badge import ago
from keys.limit_text import holder_link, measure, used_cell
from keys.models import Limit
from providers.changes import change
from providers.console import (
    ORIGIN,
    ORIGIN_FIELDS,
    ConsoleAdmin,
    Tone,
    add_inline,
    badge,
    cell,
    counted,
    link,
    row_ids,
)
from providers.console_fields import ConsoleInline, RowFilter, only_chosen
from providers.models import Deployment, Model

RESET_REASON = "counter reset"


class LimitInline(ConsoleInline):
    """Limits on the page of their holder; time zone and alerts are on their own page."""

    model = Limit
    form = LimitForm
    fields: ClassVar[tuple[str, ...]] = (
        "metric",
        "amount",
        "window",
        "model",
        "each_end_user",
        "mode",
        "used",
    )
    readonly_fields = ("used",)
    autocomplete_fields: ClassVar[tuple[str, ...]] = ("model",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Limit]:
        return super().get_queryset(request).select_related("model")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Models are chosen here, not made: a row has no room for more."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "model" and field is not None:
            only_chosen(field)
        return field

    @display(description="Used")
    def used(self, obj: Limit) -> SafeString | str:
        if not obj.pk:
            return "after saving"
        url = reverse("admin:keys_limit_change", args=[obj.pk])
        more = '{} <a class="sy-note sy-text-link" href="{}">All settings</a>'
        return format_html(more, used_cell(obj), url)


class KeyLimitInline(LimitInline):
    fk_name = "key"


class TeamLimitInline(LimitInline):
    fk_name = "team"


class EndUserLimitInline(LimitInline):
    fk_name = "end_user"
    fields = ("metric", "amount", "window", "model", "mode", "used")


class DeploymentLimitInline(LimitInline):
    fk_name = "deployment"
    fields = ("metric", "amount", "window", "mode", "used")
    autocomplete_fields = ()


class ModelLimitInline(LimitInline):
    """Limits of this model that hold for everyone; those of single keys are on the pages of the keys."""

    fk_name = "model"
    verbose_name_plural = "limits for everyone"
    fields = ("metric", "amount", "window", "each_end_user", "mode", "used")
    autocomplete_fields = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Limit]:
        nobody = dict.fromkeys(HOLDERS)
        return super().get_queryset(request).filter(**nobody)


add_inline(Model, ModelLimitInline)
add_inline(Deployment, DeploymentLimitInline)


class HolderFilter(DropdownFilter):
    """Limits by whose they are."""

    title = "of"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("key", "Keys"),
            ("team", "Teams"),
            ("end_user", "Single end users"),
            ("each", "Each end user"),
            ("deployment", "Deployments"),
            ("everyone", "Everyone"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Limit]) -> QuerySet[Limit]:
        match self.value():
            case ("key" | "team" | "end_user" | "deployment") as holder:
                return queryset.filter(Q((f"{holder}__isnull", False)))
            case "each":
                return queryset.filter(each_end_user=True)
            case "everyone":
                return queryset.filter(**dict.fromkeys(HOLDERS))
        return queryset


@admin.register(Limit)
class LimitAdmin(ConsoleAdmin):
    form = LimitForm
    list_display = ("title", "holder", "model_link", "used", "mode_label", "updated")
    list_filter = (
        ("metric", ChoicesDropdownFilter),
        ("window", ChoicesDropdownFilter),
        ("mode", ChoicesDropdownFilter),
        HolderFilter,
        ("team", RowFilter),
        ("model", RowFilter),
    )
    search_fields = ("key__name", "team__name", "end_user__name", "deployment__name", "model__name")
    search_help_text = "Search by key, team, end user, deployment or model"
    list_select_related = ("key", "team", "end_user", "deployment", "model")
    autocomplete_fields = ("key", "team", "end_user", "deployment", "model")
    readonly_fields = ("used_whole", "reset_text", *ORIGIN_FIELDS)
    ordering = ("key__name", "team__name", "end_user__name", "deployment__name", "pk")
    actions = ("enforce", "shadow", "reset_chosen")
    actions_list = ("try_a_limit",)  # type: ignore[assignment]
    actions_detail = ("try_this", "reset_this")  # type: ignore[assignment]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        whose = "Choose one of them, or none: then it is a limit of everyone together."
        how_much = (
            "Second, minute and hour roll; day, week and month follow the calendar. "
            "A shadow limit only counts what it would have refused."
        )
        return [
            *([("Now", {"fields": ["used_whole", "reset_text"]})] if obj else []),
            ("Whose", {"fields": [*HOLDERS], "description": whose}),
            ("Of what", {"fields": ["model", "each_end_user"]}),
            (
                "How much",
                {
                    "fields": ["metric", "amount", "window", "time_zone", "mode", "alerts"],
                    "description": how_much,
                },
            ),
            *([ORIGIN] if obj else []),
        ]

    def get_urls(self) -> list[URLPattern]:
        reset = self.admin_site.admin_view(self.reset_view)
        return [path("reset/", reset, name="keys_limit_reset"), *super().get_urls()]  # type: ignore[no-untyped-call]

    @display(description="Limit", ordering="amount")
    def title(self, obj: Limit) -> SafeString:
        return cell(measure(obj))

    @display(description="Of", ordering="key__name")
    def holder(self, obj: Limit) -> SafeString:
        return holder_link(obj)

    @display(description="Model", ordering="model__name")
    def model_link(self, obj: Limit) -> SafeString | str:
        if obj.model is None:
            return "its own" if obj.deployment_id else "all together"
        return link(reverse("admin:providers_model_change", args=[obj.model.pk]), obj.model.name)

    @display(description="Used")
    def used(self, obj: Limit) -> SafeString | str:
        return used_cell(obj)

    @display(description="Used")
    def used_whole(self, obj: Limit) -> SafeString | str:
        return used_cell(obj, whole=True)

    @display(description="Counted from")
    def reset_text(self, obj: Limit) -> str:
        if obj.reset_at is None:
            return "the beginning of its window" if obj.window != Limit.Window.TOTAL else "the first request"
        local = timezone.localtime(obj.reset_at)
        return f"{local:%d %b %Y %H:%M:%S %Z}, when it was reset, unless its window began later"

    @display(description="Mode", ordering="mode")
    def mode_label(self, obj: Limit) -> SafeString:
        return badge(obj.mode, Tone.GOOD if obj.mode == Limit.Mode.ENFORCE else Tone.WARN)

    @display(description="Updated", ordering="updated_at")
    def updated(self, obj: Limit) -> SafeString:
        return format_html('<span class="sy-when">{}</span>', ago(obj.updated_at))

    @action(description="Enforce the chosen limits", permissions=["change"])
    def enforce(self, request: HttpRequest, rows: QuerySet[Limit]) -> None:
        self.set_on_each(request, rows, "mode", Limit.Mode.ENFORCE, "Enforced")

    @action(description="Only count (shadow) the chosen limits", permissions=["change"])
    def shadow(self, request: HttpRequest, rows: QuerySet[Limit]) -> None:
        self.set_on_each(request, rows, "mode", Limit.Mode.SHADOW, "Shadowed")

    @action(description="Try a limit", icon="science")
    def try_a_limit(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("limit-try"))

    @action(description="Try on last week", icon="science")
    def try_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('limit-try')}?limit={object_id}")

    # --- setting what is used to nothing -----------------------------------------------------

    @action(description="Reset the counters of the chosen limits", permissions=["change"])
    def reset_chosen(self, request: HttpRequest, rows: QuerySet[Limit]) -> HttpResponse:
        return self._ask(request, rows)

    @action(description="Reset the counter", permissions=["change"], icon="restart_alt")
    def reset_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, self.get_queryset(request).filter(pk=object_id))

    def _ask(self, request: HttpRequest, rows: QuerySet[Limit]) -> HttpResponse:
        chosen = list(rows.select_related(*HOLDERS, "model"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Reset counters",
            "opts": self.opts,
            "limits": [(row.pk, measure(row), holder_link(row)) for row in chosen],
            "counted": counted(len(chosen), self.opts),
        }
        return TemplateResponse(request, "console/confirm_reset.html", context)

    def reset_view(self, request: HttpRequest) -> HttpResponse:
        """Let what these limits counted until now count no more."""
        if not request.user.has_perm("keys.change_limit"):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:keys_limit_changelist"))
        if request.method != "POST":
            return back
        ids = row_ids(request.POST.getlist("limit"))
        rows = list(self.get_queryset(request).filter(pk__in=ids))
        with change():
            for row in rows:
                row.reset_at = timezone.now()
                row._change_reason = RESET_REASON
                row.save(update_fields=["reset_at", "updated_at"])
        text = f"Reset {counted(len(rows), self.opts)}: what was used until now does not count."
        self.message_user(request, text, messages.SUCCESS if rows else messages.INFO)
        return (
            back
            if len(rows) != 1
            else HttpResponseRedirect(reverse("admin:keys_limit_change", args=[rows[0].pk]))
        )
