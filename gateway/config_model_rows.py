"""Models, their deployments and fallbacks as a config file wants them, and as they are."""

from collections import Counter
from collections.abc import Hashable
from typing import Any

from django.db.models import Q

from gateway.config_table import Fields, Named, Table, Wanted
from providers.litellm_records import MODEL_SETTINGS, Config, DeploymentRecord, ModelRecord
from providers.models import Deployment, Fallback, Model
from providers.routing import Strategy

# What a model has where neither the file nor the admin says anything.
_UNSET: Fields = {**dict.fromkeys(MODEL_SETTINGS), "hidden": False, "retries_by_error": {}}


class Models(Table):
    label = "Model"
    plain = ("name", "kind", "max_input_tokens", "max_output_tokens")

    def wanted(self, config: Config) -> list[Wanted]:
        return [Wanted(record.name, self._fields(record)) for record in config.models]

    def _fields(self, record: ModelRecord) -> Fields:
        said = {name: getattr(record, name) for name in MODEL_SETTINGS}
        return {
            **{name: getattr(record, name) for name in self.plain},
            "info": dict(record.info),
            "strategy": record.strategy or Strategy.WEIGHTED.value,
            "aliases": list(record.aliases),
            "hidden_aliases": list(record.hidden_aliases),
            **_UNSET,
            **{name: value for name, value in said.items() if value is not None},
        }

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        return list(Model.objects.order_by("pk"))

    def namesakes(self, name: str) -> set[str]:
        return set(Model.objects.filter(name__startswith=name).values_list("name", flat=True))

    def identity(self, fields: Fields) -> Hashable:
        return str(fields["name"])

    def current(self, row: Any, named: Named) -> Fields:
        routed = ("info", "strategy", "aliases", "hidden_aliases")
        return {name: getattr(row, name) for name in (*self.plain, *routed, *MODEL_SETTINGS)}

    def imported(self, row: Any, current: Fields) -> Fields:
        # what imports of earlier versions did not know of
        unknown = {"strategy": Strategy.WEIGHTED.value, "aliases": [], "hidden_aliases": []}
        return {**unknown, **_UNSET, **row.imported}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        for name, value in changed.items():
            setattr(row, name, value)

    def new(self, name: str) -> Any:
        return Model(name=name)

    def obstacle(self, row: Any, leaving: set[Any]) -> str:
        # Deleting it would take them along.
        if row.deployments.exclude(pk__in=leaving).exists():
            return "it has other deployments"
        made_here = Fallback.objects.filter(Q(model=row) | Q(to=row)).exclude(source=Fallback.Source.FILE)
        return "fallbacks that were made here use it" if made_here.exists() else ""


class Deployments(Table):
    label = "Deployment"
    plain = (
        "upstream_model",
        "weight",
        "priority",
        "max_parallel_requests",
        "timeout",
        "stream_timeout",
        "default_params",
        "drop_params",
        "state",
        "queue_seconds",
        "connect_timeout",
        "idle_timeout",
        "eject_seconds",
    )

    def wanted(self, config: Config) -> list[Wanted]:
        return [Wanted(record.name, self._fields(record)) for record in config.deployments]

    def _fields(self, record: DeploymentRecord) -> Fields:
        return {
            "model": record.model,
            "provider": record.provider,
            **{name: getattr(record, name) for name in self.plain},
            "default_params": dict(record.default_params),
            "tags": list(record.tags),
        }

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        return list(Deployment.objects.select_related("model", "provider").order_by("pk"))

    def namesakes(self, name: str) -> set[str]:
        return set(Deployment.objects.filter(name__startswith=name).values_list("name", flat=True))

    def identity(self, fields: Fields) -> Hashable:
        return (fields["model"], fields["provider"], fields["upstream_model"])

    def current(self, row: Any, named: Named) -> Fields:
        return {
            "model": named.name("Model", row.model),
            "provider": named.name("Provider", row.provider),
            **{name: getattr(row, name) for name in (*self.plain, "tags")},
        }

    def imported(self, row: Any, current: Fields) -> Fields:
        # what imports of earlier versions did not know of
        times = ("queue_seconds", "connect_timeout", "idle_timeout", "eject_seconds")
        return {**dict.fromkeys(times), "tags": [], **row.imported}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        for name, value in changed.items():
            match name:
                case "model":
                    row.model = named.row("Model", value)
                case "provider":
                    row.provider = named.row("Provider", value)
                case _:
                    setattr(row, name, value)

    def new(self, name: str) -> Any:
        return Deployment(name=name)


class Fallbacks(Table):
    """Both models are named as the file names them; one of a kind between two models is the same one.

    Positions are compared as places among those that the file names: it says an order, and the admin may
    leave gaps. What was made here comes behind once the file's list changes.
    """

    label = "Fallback"
    ends = ("model", "to")

    def wanted(self, config: Config) -> list[Wanted]:
        return [
            Wanted(
                _title(record.model, record.to, record.on),
                {"model": record.model, "to": record.to, "on": record.on, "position": record.position},
            )
            for record in config.fallbacks
        ]

    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        found = list(Fallback.objects.select_related(*self.ends).order_by("position", "pk"))
        meant = {self.identity(want.fields) for want in wanted}
        lengths = Counter(self._list(want.fields) for want in wanted)
        places: Counter[Hashable] = Counter()
        for row in found:
            fields = self.current(row, named)
            theirs, place = self.identity(fields) in meant, self._list(fields)
            row.position = places[place, theirs] + (0 if theirs else lengths[place])
            places[place, theirs] += 1
        return found

    def _list(self, fields: Fields) -> Hashable:
        return (fields["model"], fields["on"])

    def prepare(self, rows: list[Any], writing: list[Wanted], named: Named) -> None:
        lists = {self._list(want.fields) for want in writing}
        for row in rows:
            if self._list(self.current(row, named)) in lists:
                Fallback.objects.filter(pk=row.pk).update(position=row.position)

    def namesakes(self, name: str) -> set[str]:
        return set()

    def identity(self, fields: Fields) -> Hashable:
        return (fields["model"], fields["to"], fields["on"])

    def current(self, row: Any, named: Named) -> Fields:
        ends = {end: named.name("Model", getattr(row, end)) for end in self.ends}
        return {**ends, "on": row.on, "position": row.position}

    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        for name, value in changed.items():
            setattr(row, name, named.row("Model", value) if name in self.ends else value)

    def new(self, name: str) -> Any:
        return Fallback()

    def title(self, row: Any) -> str:
        return _title(row.model.name, row.to.name, row.on)


def _title(model: str, to: str, on: str) -> str:
    """`small to large after context_window`"""
    return f"{model} to {to} after {on}"
