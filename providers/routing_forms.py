"""The forms of models, their fallbacks and deployments: lists one a line, and what holds when empty."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.validators import MaxValueValidator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from providers import effective
from providers.fallbacks import loop_through
from providers.models import Deployment, Fallback, Model
from providers.patterns import is_pattern
from providers.retries import MOST_ATTEMPTS, MOST_RETRIES, RETRIED_KINDS, Kind, problem_of_retries

if TYPE_CHECKING:
    ModelModelForm = forms.ModelForm[Model]
    DeploymentModelForm = forms.ModelForm[Deployment]
    FallbackModelForm = forms.ModelForm[Fallback]
else:
    ModelModelForm = DeploymentModelForm = FallbackModelForm = forms.ModelForm

LONGEST_SECONDS = 86400.0
TIMES = {
    "connect_timeout": ("connect", "Seconds to connect to the provider."),
    "timeout": ("whole answer", "Seconds that one attempt may take for an answer that is no stream."),
    "stream_timeout": ("first event", "Seconds until a stream's first event."),
    "idle_timeout": ("idle", "Seconds between two events of a stream."),
}


class NamesField(forms.CharField):
    """A list of names, written one a line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [name for line in str(value or "").splitlines() if (name := line.strip())]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class TagsField(NamesField):
    """Tags, written one a line or with commas between; each once."""

    def to_python(self, value: Any) -> Any:
        return list(dict.fromkeys(super().to_python(str(value or "").replace(",", "\n"))))


_KINDS = {
    Kind.CONNECT.value: "No connection",
    Kind.TIMEOUT.value: "Timeout",
    Kind.RATE_LIMIT.value: "Rate limit (429)",
    Kind.AUTHENTICATION.value: "Set up wrongly (401, 403, 404)",
    Kind.SERVER_ERROR.value: "Server error (5xx)",
}


class RetriesWidget(forms.Widget):
    """A small number for each kind of error; empty where it does not differ."""

    usual = MOST_ATTEMPTS - 1

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, str]:
        given = {kind: str(data.get(f"{name}_{kind}") or "").strip() for kind in RETRIED_KINDS}
        return {kind: text for kind, text in given.items() if text}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not any(f"{name}_{kind}" in data for kind in RETRIED_KINDS)

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_{RETRIED_KINDS[0]}" if id_ else ""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        given = value if isinstance(value, dict) else {}
        parts = ((label, *self._part(name, kind, given.get(kind, ""))) for kind, label in _KINDS.items())
        fields = format_html_join("", '<label class="sy-small"><span>{}</span>{}</label>', parts)
        return format_html('<span class="sy-smalls">{}</span>', fields)

    def _part(self, name: str, kind: str, value: object) -> tuple[SafeString]:
        attrs = {"min": 0, "max": MOST_RETRIES, "placeholder": str(self.usual), "id": f"id_{name}_{kind}"}
        return (UnfoldAdminIntegerFieldWidget(attrs).render(f"{name}_{kind}", value),)


class RetriesField(forms.Field):
    """`{"timeout": 0}`: retries by kind of error, where they differ."""

    widget = RetriesWidget

    def to_python(self, value: Any) -> dict[str, int]:
        try:
            found = {kind: int(text) for kind, text in (value or {}).items()}
        except ValueError:
            raise forms.ValidationError(f"These are whole numbers from 0 to {MOST_RETRIES}.") from None
        if problem := problem_of_retries(found):
            raise forms.ValidationError(problem)
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool({kind: str(number) for kind, number in (initial or {}).items()} != data)


def _hold(form: Any, placeholders: dict[str, str]) -> None:
    """Show in each empty field what holds instead; bound the seconds."""
    for name, text in placeholders.items():
        if (field := form.fields.get(name)) is None:
            continue  # who may only look has no fields
        field.widget.attrs["placeholder"] = text
        if isinstance(field, forms.FloatField):
            field.validators.append(MaxValueValidator(LONGEST_SECONDS))
            if (seconds := form.initial.get(name)) is not None:
                form.initial[name] = f"{seconds:g}"  # 30, not 30.0


class ModelForm(ModelModelForm):
    """A model with its names one a line, and its retries as numbers."""

    aliases = NamesField(
        required=False,
        help_text="Other names that clients may ask for, one a line. Rights, limits and usage are those of "
        "the model.",
    )
    hidden_aliases = NamesField(required=False, help_text="The same, but not listed by /v1/models.")
    retries_by_error = RetriesField(
        label="Retries after",
        required=False,
        help_text=f"Only where an error differs from the most attempts: 0 to {MOST_RETRIES} other "
        "deployments are tried after it. A refusal of the request itself (400, 413, 422) is never retried.",
    )

    class Meta:
        model = Model
        fields = "__all__"
        labels = {
            **{name: label.capitalize() for name, (label, _) in TIMES.items()},
            "eject_seconds": "Put aside for",
            "deadline": "Deadline",
        }
        help_texts = {
            **{name: text for name, (_, text) in TIMES.items()},
            "name": "What clients ask for. With a star it is a wildcard: openai/* answers for every name "
            "that fits and is no model or alias by itself; the closest wildcard wins.",
            "deadline": "Seconds for a request with its wait and all attempts: until the whole answer, or "
            "the first event of a stream.",
            "max_attempts": "How many deployments of this model one request may be tried on.",
            "eject_after": "So many failures in a row put a deployment aside for a while; 0: never.",
            "eject_seconds": "Seconds at first, doubled each time up to five minutes. Then one request "
            "probes it.",
            "max_queue": "How many requests may wait in each worker while all deployments are full; 0: none.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _hold(self, effective.of_model(self.instance))
        if "retries_by_error" in self.fields and self.instance.max_attempts:
            self.fields["retries_by_error"].widget.usual = self.instance.max_attempts - 1


class DeploymentForm(DeploymentModelForm):
    """A deployment with its tags one a line."""

    tags = TagsField(
        required=False,
        help_text="One a line. Only requests with one of these tags are sent here; the tag default: also "
        "those without a tag that fits. Empty: while others of the model have tags, only requests without "
        "tags come here, and only if none is tagged default.",
    )

    class Meta:
        model = Deployment
        fields = "__all__"
        labels = {
            **{name: label.capitalize() for name, (label, _) in TIMES.items()},
            "queue_seconds": "Wait for a place",
            "eject_seconds": "Put aside for",
        }
        help_texts = {
            **{name: text for name, (_, text) in TIMES.items()},
            "upstream_model": "The provider's own name for the model. Of a wildcard model a star stands for "
            "what the client's star did: openai/* with gpt-* asks for gpt-4o when openai/4o is asked for.",
            "queue_seconds": "Seconds that a request may wait for a place here while all deployments of the "
            "model are full; 0: it does not wait.",
            "eject_seconds": "Seconds at first when it keeps failing, doubled each time up to five minutes.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = self.instance.model if self.instance.model_id else None
        _hold(self, effective.of_deployment(self.instance, chosen))


class FallbackForm(FallbackModelForm):
    """A row on the page of its model; without a position it comes last."""

    position = forms.IntegerField(
        required=False, min_value=0, max_value=32767, widget=UnfoldAdminIntegerFieldWidget()
    )

    class Meta:
        model = Fallback
        fields = ["to", "on", "position"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.checked_with_siblings = True
        if self.instance._state.adding:
            self.initial.pop("position", None)


class FallbacksOfModel(PaginationInlineFormSet):
    """All fallbacks of one model at once: none twice, none to a wildcard, none back to the model itself."""

    def clean(self) -> None:
        super().clean()
        rows = [form for form in self.forms if form.cleaned_data.get("to") and not self._leaves(form)]
        self._arrange(rows)
        asked = set()
        me = self.instance
        others = list(Fallback.objects.exclude(model=me.pk).values_list("model_id", "to_id"))
        for form in rows:
            to, on = form.cleaned_data["to"], form.cleaned_data.get("on")
            if (to, on) in asked:
                form.add_error("to", "Another row asks it after this error already.")
            asked.add((to, on))
            if is_pattern(to.name):
                form.add_error("to", "A wildcard model is no single model to ask instead.")
            elif loop := loop_through([*others, (me.pk or 0, to.pk)], me.pk or 0):
                names = Model.objects.in_bulk(loop)
                way = " to ".join(me.name if pk == me.pk else names[pk].name for pk in loop)
                form.add_error("to", f"This would lead back to itself: {way}.")

    def validate_unique(self) -> None:
        """`clean` tells it beside the row."""

    def save_existing_objects(self, commit: bool = True) -> list[Fallback]:
        """Rows that take each other's place must not meet on the way, for each is there once."""
        if commit:
            staying = [form.instance for form in self.initial_forms if not self._leaves(form)]
            wanted = {(row.to_id, row.on): row.pk for row in staying}
            for form in self.initial_forms:
                pk = form.instance.pk
                if wanted.get((form.initial["to"], form.initial["on"]), pk) != pk:
                    Fallback.objects.filter(pk=pk).update(on=f"~{pk}")  # its own form follows
        rows: list[Fallback] = super().save_existing_objects(commit)
        return rows

    def _leaves(self, form: Any) -> bool:
        return bool(self.can_delete and self._should_delete_form(form))  # type: ignore[attr-defined]

    def _arrange(self, rows: Any) -> None:
        """Rows without a position follow the others, in the order of the page."""
        last = max((form.cleaned_data.get("position") or 0 for form in rows), default=0)
        for form in rows:
            if form.cleaned_data.get("position") is None and "position" not in form.errors:
                last += 1
                form.instance.position = last
