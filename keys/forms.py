"""The forms of keys and limits: what the model cannot check by itself."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.core.validators import EmailValidator
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from keys.models import ApiKey, Limit, Team
from keys.specs import LARGEST, NANO
from providers.routing_forms import TagsField

if TYPE_CHECKING:
    ApiKeyModelForm = forms.ModelForm[ApiKey]
    LimitModelForm = forms.ModelForm[Limit]
    TeamModelForm = forms.ModelForm[Team]
else:
    ApiKeyModelForm = LimitModelForm = TeamModelForm = forms.ModelForm

HOLDERS = ("key", "team", "end_user", "deployment")


class ApiKeyForm(ApiKeyModelForm):
    """Refuses keys that could never be used: no model at all, or expired when made."""

    tags = TagsField(
        required=False,
        help_text="One a line. Requests with this key have these tags, besides their own and the team's; "
        "deployments with one of them answer. Empty: none of its own.",
    )

    class Meta:
        model = ApiKey
        fields = [
            *(
                "name",
                "team",
                "member",
                "enabled",
                "expires_at",
                "is_admin",
                "all_models",
                "allowed_models",
                "tags",
            ),
            *("end_user_header", "max_end_users", "without_redis", "keep_exchanges", "exchange_days"),
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


class TeamForm(TeamModelForm):
    """Refuses a list of addresses in which one is none."""

    tags = TagsField(
        required=False,
        help_text="One a line. Requests of all keys of this team have these tags; deployments with one of "
        "them answer. Empty: none.",
    )

    class Meta:
        model = Team
        fields = ["name", "notes", "tags", "alert_emails", "keep_exchanges", "exchange_days"]

    def clean_alert_emails(self) -> str:
        addresses = [part.strip() for part in str(self.cleaned_data["alert_emails"]).split(",")]
        for address in filter(None, addresses):
            EmailValidator(f"{address} is no e-mail address.")(address)
        return ", ".join(filter(None, addresses))


def dollars_text(nano: int) -> str:
    """Nano-dollars as an operator types dollars: `12.5`."""
    return f"{Decimal(nano).scaleb(-9).normalize():f}"


class LimitForm(LimitModelForm):
    """Takes amounts in their metric's unit, and says in words what the database refuses in a constraint."""

    amount = forms.DecimalField(
        min_value=0,
        max_value=LARGEST,
        decimal_places=9,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="A whole number; of cost US dollars, such as 12.50.",
        error_messages={"invalid": "Enter a number such as 1000 or, of cost, 12.50."},
    )

    class Meta:
        model = Limit
        fields = [
            *(*HOLDERS, "model", "each_end_user"),
            *("metric", "amount", "window", "time_zone", "mode", "alerts"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.metric == Limit.Metric.COST and self.instance.amount is not None:
            self.initial["amount"] = dollars_text(self.instance.amount)

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"])
        if name not in available_timezones():
            raise forms.ValidationError("There is no such time zone; one is called Europe/Berlin.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self._check_holder(cleaned)
        if cleaned.get("metric") == Limit.Metric.PARALLEL and cleaned.get("window") == Limit.Window.MINUTE:
            cleaned["window"] = Limit.Window.NONE  # what the form began with; nobody chose it
        amount = cleaned.get("amount")
        if amount is not None and cleaned.get("metric"):
            self._store(cleaned, amount)
        return cleaned

    def _check_holder(self, cleaned: dict[str, Any]) -> None:
        named = [name for name in HOLDERS if cleaned.get(name)]
        for name in named[1:]:
            self.add_error(name, "A limit is of one key, team, end user or deployment, or of everyone.")
        if cleaned.get("each_end_user") and (cleaned.get("end_user") or cleaned.get("deployment")):
            whose = "one end user" if cleaned.get("end_user") else "a deployment"
            self.add_error("each_end_user", f"A limit of {whose} is not counted for each end user.")

    def _store(self, cleaned: dict[str, Any], amount: Decimal) -> None:
        """Put the amount in the unit of its column: nano-dollars of cost."""
        if cleaned["metric"] != Limit.Metric.COST:
            if amount != int(amount):
                self.add_error("amount", "This is a whole number; only cost has decimals.")
            else:
                cleaned["amount"] = int(amount)
        elif amount > LARGEST // NANO:
            self.add_error("amount", f"The most that is counted is ${LARGEST // NANO:,}.")
        else:
            cleaned["amount"] = int(amount * NANO)
