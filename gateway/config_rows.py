"""The rows of each table as a config file wants them, and as they are: the same fields, comparable.

Models, their deployments and fallbacks are in `config_model_rows`.
"""

import json
from collections.abc import Hashable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Q
from django.utils import timezone

from gateway.config_model_rows import Deployments, Fallbacks, Models
from gateway.config_table import Fields, Named, Table, Wanted
from keys import issuing, tokens
from keys.forms import dollars_text
from keys.models import ApiKey, Limit
from providers import destinations, secrets
from providers.litellm_records import Config, LimitRecord, ProviderRecord
from providers.litellm_yaml import ConfigError
from providers.models import Price, Provider
from providers.prices import charges_of_text

_INNER_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".svc")


def _fingerprint(secret: str) -> str:
    return tokens.verifier(secret, issuing.peppers()[0]) if secret else ""


class Providers(Table):
    label = "Provider"
    plain = (
        *("kind", "base_url", "secret_reference", "extra_headers", "confirmed_host"),
        *("disconnect_policy", "also_speaks", "enabled"),
    )

    def wanted(self, config: Config) -> list[Wanted]:
        return [
            Wanted(
                record.name,
                {
                    "kind": record.kind,
                    "base_url": record.base_url,
                    "secret_reference": record.secret_reference,
                    "secret": _fingerprint(record.secret),
                    "extra_headers": dict(record.extra_headers),
                    "confirmed_host": confirmed_host(record),
                    "disconnect_policy": record.disconnect_policy or Provider.Disconnect.ESTIMATE.value,
                    "also_speaks": None if record.also_speaks is None else list(record.also_speaks),
                    "enabled": record.enabled is not False,
                },
                record.secret,
            )
            for record in config.providers
        ]

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        return list(Provider.objects.order_by("created_at", "pk"))

    def namesakes(self, name: str) -> set[str]:
        return set(Provider.objects.filter(name__startswith=name).values_list("name", flat=True))

    def identity(self, fields: Fields) -> Hashable:
        headers = json.dumps(fields["extra_headers"], sort_keys=True)
        return (
            fields["kind"],
            fields["base_url"].rstrip("/"),
            fields["secret_reference"],
            fields["secret"],
            headers,
        )

    def current(self, row: Any, named: Named) -> Fields:
        try:
            secret = _fingerprint(row.secret())
        except secrets.Unreadable:
            secret = "unreadable"  # noqa: S105 - no fingerprint looks like this, so the file's key is sealed anew
        return {**{name: getattr(row, name) for name in self.plain}, "secret": secret}

    def imported(self, row: Any, current: Fields) -> Fields:
        # what imports of earlier versions did not know of
        usual = Provider.Disconnect.ESTIMATE.value
        unknown = {"disconnect_policy": usual, "also_speaks": None, "enabled": True}
        found = {**unknown, **row.imported}
        try:
            secret = row.secret()
        except secrets.Unreadable:
            return {**found, "secret": current["secret"]}
        known = found.get("secret", "")
        if secret and any(tokens.matches(secret, pepper, known) for pepper in issuing.peppers()):
            found["secret"] = current["secret"]
        return found

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        for name in self.plain:
            if name in changed:
                setattr(row, name, changed[name])
        if "secret" in changed:
            row.set_secret(wanted.secret)

    def new(self, name: str) -> Any:
        return Provider(name=name)

    def obstacle(self, row: Any, leaving: set[Any]) -> str:
        return "other deployments use it" if row.deployments.exclude(pk__in=leaving).exists() else ""


def confirmed_host(record: ProviderRecord) -> str:
    """The private host that naming it in the file confirms, or "". Raises `ConfigError` where none may."""
    if not record.address:
        return ""
    try:
        host = destinations.host_key(record.address)
    except ValueError as error:
        raise ConfigError(f"Not a URL: {error}.", record.where) from None
    if problem := destinations.check_base_url(record.address, host):
        raise ConfigError(problem, record.where)
    private = destinations.check_base_url(record.address, "") or _is_inner_name(record.address)
    return host if private else ""


def _is_inner_name(address: str) -> bool:
    """A name that only a private network knows, such as a compose service."""
    host = (urlsplit(address).hostname or "").lower().rstrip(".")
    return ":" not in host and ("." not in host or host.endswith(_INNER_SUFFIXES))


class Prices(Table):
    """The price that holds for a deployment; a changed one is a new row from now on, the old one stays."""

    label = "Price"

    def wanted(self, config: Config) -> list[Wanted]:
        return [
            Wanted(record.deployment, {"deployment": record.deployment, **record.charges.as_text()})
            for record in config.prices
        ]

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        begun = Price.objects.filter(deployment__isnull=False, effective_from__lte=timezone.now())
        in_order = begun.select_related("deployment").order_by("effective_from", "pk")
        return list({row.deployment_id: row for row in in_order}.values())

    def namesakes(self, name: str) -> set[str]:
        return set()

    def identity(self, fields: Fields) -> Hashable:
        return str(fields["deployment"])

    def current(self, row: Any, named: Named) -> Fields:
        return {"deployment": named.name("Deployment", row.deployment), **row.charges().as_text()}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        if row.pk is not None:
            row.pk, row._state.adding = None, True
            row.created_at = row.effective_from = timezone.now()
        if "deployment" in changed:
            row.deployment = named.row("Deployment", changed["deployment"])
        row.charge(charges_of_text({**row.charges().as_text(), **changed}))

    def new(self, name: str) -> Any:
        return Price()

    def title(self, row: Any) -> str:
        return str(row.deployment.name)

    def remove(self, row: Any, reason: str) -> None:
        # All of the file's: with the last one gone, the one before it would hold again.
        for price in Price.objects.filter(deployment=row.deployment, source=Price.Source.FILE):
            super().remove(price, reason)


class Keys(Table):
    label = "ApiKey"

    def wanted(self, config: Config) -> list[Wanted]:
        return [
            Wanted(
                record.name,
                {
                    "text": self._public_id(record.text),
                    "is_admin": record.is_admin,
                    "end_user_header": record.end_user_header,
                },
                record.text,
            )
            for record in config.keys
        ]

    def _public_id(self, text: str) -> str:
        row = issuing.find(text)
        return row.public_id if row else tokens.public_id(text, issuing.peppers()[0])

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        # There may be a million others.
        meant = Q(source=ApiKey.Source.FILE) | Q(public_id__in=[want.fields["text"] for want in wanted])
        return list(ApiKey.objects.filter(meant).order_by("pk"))

    def namesakes(self, name: str) -> set[str]:
        return set(ApiKey.objects.filter(name__startswith=name).values_list("name", flat=True))

    def identity(self, fields: Fields) -> Hashable:
        return str(fields["text"])

    def current(self, row: Any, named: Named) -> Fields:
        return {
            "text": row.public_id,
            "is_admin": row.is_admin,
            "end_user_header": row.end_user_header,
        }

    def imported(self, row: Any, current: Fields) -> Fields:
        return {"end_user_header": "", **row.imported}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        if "text" in changed:
            issuing.stamp(row, wanted.secret)
        for name in changed.keys() & {"is_admin", "end_user_header"}:
            setattr(row, name, changed[name])

    def new(self, name: str) -> Any:
        return ApiKey(name=name)


class Limits(Table):
    """Holders are named in fields of their own, "" where it is another; none at all: everyone."""

    label = "Limit"
    plain = ("each_end_user", "metric", "window", "amount")
    holders: Mapping[str, str] = {"key": "ApiKey", "deployment": "Deployment"}
    # What a file gives no limits to; the admin may have moved one there.
    others = ("team", "end_user")

    def wanted(self, config: Config) -> list[Wanted]:
        return [
            Wanted(
                _limit_title(record.key or record.deployment, record.each_end_user, record),
                {
                    **{name: getattr(record, name) for name in (*self.holders, *self.plain)},
                    **dict.fromkeys(self.others, ""),
                },
            )
            for record in config.limits
        ]

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        # The file's own stay its own, also when the admin bound them to a model since.
        meant = Q(source=Limit.Source.FILE)
        alike = Q(model__isnull=True, mode=Limit.Mode.ENFORCE)
        for holder, table in self.holders.items():
            found = (named.row(table, want.fields[holder]) for want in wanted if want.fields[holder])
            meant |= Q(**{f"{holder}__in": [row.pk for row in found if row is not None]}) & alike
        if any(not any(want.fields[holder] for holder in self.holders) for want in wanted):
            meant |= Q(**{f"{name}__isnull": True for name in (*self.holders, *self.others)}) & alike
        rows = Limit.objects.filter(meant).select_related(*self.holders, *self.others)
        return list(rows.order_by("pk"))

    def namesakes(self, name: str) -> set[str]:
        return set()

    def identity(self, fields: Fields) -> Hashable:
        return tuple(value for name, value in sorted(fields.items()) if name != "amount")

    def current(self, row: Any, named: Named) -> Fields:
        holders = {name: getattr(row, name) for name in self.holders}
        return {
            **{name: named.name(self.holders[name], held) if held else "" for name, held in holders.items()},
            **{name: other.name if (other := getattr(row, name)) else "" for name in self.others},
            **{name: getattr(row, name) for name in self.plain},
        }

    def imported(self, row: Any, current: Fields) -> Fields:
        # Imports of earlier versions knew limits of keys only.
        return {"deployment": "", "each_end_user": False, **dict.fromkeys(self.others, ""), **row.imported}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        for name, value in changed.items():
            if name in self.holders:
                setattr(row, name, named.row(self.holders[name], value) if value else None)
            else:
                setattr(row, name, None if name in self.others else value)

    def new(self, name: str) -> Any:
        return Limit()

    def worded(self, fields: Fields, name: str) -> str:
        cost = name == "amount" and fields["metric"] == Limit.Metric.COST
        return f"${dollars_text(fields[name])}" if cost else super().worded(fields, name)

    def title(self, row: Any) -> str:
        holder = next((held for name in (*self.holders, *self.others) if (held := getattr(row, name))), None)
        return _limit_title(holder.name if holder else "", row.each_end_user, row)


def _limit_title(holder: str, each_end_user: bool, limit: LimitRecord | Limit) -> str:
    """`alice: tokens per day`, `everyone: parallel`, `each end user: cost in total`."""
    window = {"": "", "total": " in total"}.get(limit.window, f" per {limit.window}")
    each = f"each end user of {holder}" if holder else "each end user"
    return f"{each if each_end_user else holder or 'everyone'}: {limit.metric}{window}"


# Each after those that it refers to.
TABLES: tuple[Table, ...] = (
    *(Providers(), Models(), Deployments(), Fallbacks()),
    *(Prices(), Keys(), Limits()),
)
# Those that an installation is expected to have from its file alone.
CONFIGURED = TABLES[:4]
