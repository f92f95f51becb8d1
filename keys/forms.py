"""The forms of keys and limits: what the model cannot check by itself."""

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.utils import timezone

from keys.models import ApiKey, Limit

if TYPE_CHECKING:
    ApiKeyModelForm = forms.ModelForm[ApiKey]
    LimitModelForm = forms.ModelForm[Limit]
else:
    ApiKeyModelForm = LimitModelForm = forms.ModelForm


class ApiKeyForm(ApiKeyModelForm):
    """Refuses keys that could never be used: no model at all, or expired when made."""

    class Meta:
        model = ApiKey
        fields = [
            *("name", "team", "enabled", "expires_at", "is_admin", "all_models", "allowed_models"),
            *("keep_exchanges", "exchange_days"),
        ]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if (
            not cleaned.get("all_models")
            and not cleaned.get("allowed_models")
            and not cleaned.get("is_admin")
        ):
            self.add_error("allowed_models", "Choose at least one model, or turn on all models.")
        expires = cleaned.get("expires_at")
        if expires and self.instance._state.adding and expires <= timezone.now():
            self.add_error("expires_at", "This is in the past.")
        return cleaned


class LimitForm(LimitModelForm):
    """Says in words what the database refuses in a constraint."""

    class Meta:
        model = Limit
        fields = ["key", "team", "model", "metric", "amount", "window", "time_zone", "mode"]

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"])
        if name not in available_timezones():
            raise forms.ValidationError("There is no such time zone; one is called Europe/Berlin.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if (
            "key" in self.fields
            and "team" in self.fields
            and bool(cleaned.get("key")) == bool(cleaned.get("team"))
        ):
            self.add_error("key", "Choose a key or a team, and not both.")
        return cleaned
