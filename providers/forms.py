"""The provider form: a key that is written and never read, and addresses that must be confirmed."""

from typing import TYPE_CHECKING, Any

from django import forms
from unfold.widgets import (
    UnfoldAdminPasswordToggleWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from providers.destinations import check_base_url, host_key
from providers.dialects import KINDS, MESSAGES, RESPONSES
from providers.models import REFERENCE, Provider
from providers.secrets import referred

if TYPE_CHECKING:
    ProviderModelForm = forms.ModelForm[Provider]
else:
    ProviderModelForm = forms.ModelForm


def destination(base_url: str) -> str:
    """What a stored key is meant for: host and port, or the reference that names them."""
    if base_url.startswith(REFERENCE):
        return base_url
    try:
        return host_key(base_url)
    except ValueError:
        return base_url


class ProviderForm(ProviderModelForm):
    """Takes the API key without ever showing it, and the tick for a private address."""

    api_key = forms.CharField(
        label="API key",
        required=False,
        max_length=8000,
        widget=UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": "new-password", "spellcheck": "false"}),
    )
    forget_key = forms.BooleanField(
        label="Forget the stored key",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Removes it when you save.",
    )
    confirm_private = forms.BooleanField(
        label="I confirm this private address",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Only for a server on this machine or in your own network, also when a name leads there. "
        "Holds for exactly this host and port.",
    )
    endpoints = forms.ChoiceField(
        label="Endpoints of its own",
        required=False,
        choices=[
            ("", "as its kind says; a server that may have responses is asked once"),
            ("-", "chat completions alone"),
            (RESPONSES, "also responses"),
            (MESSAGES, "also messages"),
            (f"{MESSAGES},{RESPONSES}", "also responses and messages"),
        ],
        widget=UnfoldAdminSelectWidget(),
        help_text="Requests for endpoints that it does not have are translated into those that it has.",
    )
    key_blanked = False

    class Meta:
        model = Provider
        fields = [
            *("name", "kind", "base_url", "secret_reference", "extra_headers"),
            *("disconnect_policy", "enabled", "notes"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = bool(self.instance.secret_sealed)
        said = self.instance.also_speaks
        self.fields["endpoints"].initial = "" if said is None else ",".join(sorted(said)) or "-"
        self.fields["api_key"].help_text = (
            "A key is stored, encrypted. Leave empty to keep it; a new one replaces it."
            if stored
            else "No key is stored. It is kept encrypted and never shown again."
        )
        self.fields["confirm_private"].initial = self.instance.is_confirmed()
        if "base_url" in self.fields:
            self.fields["base_url"].required = False
            self.fields["base_url"].help_text = (
                "Such as https://api.openai.com/v1, or os.environ/NAME to read it from the environment. "
                "Empty: the public address of this kind."
            )

    def clean_base_url(self) -> str:
        given = str(self.cleaned_data.get("base_url") or "").strip()
        if given:
            return given
        public = KINDS.get(self.cleaned_data.get("kind", ""))
        if not public:
            raise forms.ValidationError("This kind has no public address; give the base URL of your server.")
        return public

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("api_key") and cleaned.get("forget_key"):
            self.add_error("forget_key", "Either give a new key or forget the stored one.")
        base_url = cleaned.get("base_url")
        if base_url:
            self._confirm(base_url, bool(cleaned.get("confirm_private")))
            self.key_blanked = not cleaned.get("api_key") and self._leaves_its_host(base_url)
        return cleaned

    def _confirm(self, base_url: str, ticked: bool) -> None:
        """Bind the tick to the host; an address that only lacks the tick gets its error there."""
        refers = base_url.startswith(REFERENCE)
        address = referred(base_url.removeprefix(REFERENCE)) if refers else base_url
        if not address:
            return  # a variable that is not set yet: nothing to confirm
        try:
            key = host_key(address)
        except ValueError:
            return  # not a URL: the model says so
        self.instance.confirmed_host = key if ticked else ""
        problem = check_base_url(address, self.instance.confirmed_host)
        if problem and not ticked and not check_base_url(address, key):
            self.add_error("confirm_private", f"Turn this on to let the gateway connect to {key}.")
        if problem and refers:
            self.add_error("base_url", problem)

    def full_clean(self) -> None:
        super().full_clean()
        if "confirm_private" in self.errors and "base_url" in self.errors:
            text = "This is a private or loopback address. If it is yours, confirm it below."
            self.errors["base_url"] = self.error_class([text], renderer=self.renderer)

    def _leaves_its_host(self, base_url: str) -> bool:
        """Whether the row in the database holds a key for another host than this one."""
        row = Provider.objects.filter(pk=self.instance.pk).values_list("base_url", "secret_sealed").first()
        return row is not None and bool(row[1]) and destination(row[0]) != destination(base_url)

    def save(self, commit: bool = True) -> Provider:
        if "endpoints" in self.changed_data:
            chosen = self.cleaned_data["endpoints"]
            self.instance.also_speaks = (
                [each for each in chosen.strip("-").split(",") if each] if chosen else None
            )
        if given := self.cleaned_data.get("api_key"):
            self.instance.set_secret(given)
        elif self.cleaned_data.get("forget_key") or self.key_blanked:
            self.instance.set_secret("")
        return super().save(commit)
