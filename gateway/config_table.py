"""How a table of rows is compared with a config file, and what both are compared as."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from providers.litellm_records import Config

type Fields = dict[str, Any]

# Fields whose values are digests: a report says only that they changed.
SECRET_FIELDS = frozenset({"secret", "text"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row as the file wants it; other rows are named as the file names them."""

    name: str
    fields: Fields
    secret: str = field(default="", repr=False)


class Named:
    """Which row each name of the file stands for, by table."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Any] = {}
        self._names: dict[tuple[str, Any], str] = {}

    def remember(self, table: str, name: str, row: Any) -> None:
        self._rows[table, name] = row
        self._names[table, row.pk] = name

    def row(self, table: str, name: str) -> Any:
        """The row that the file means by a name, None while it is not made yet."""
        return self._rows.get((table, name))

    def name(self, table: str, row: Any) -> str:
        """The file's name of a row, else the row's own."""
        return self._names.get((table, row.pk)) or str(row.name)


class Table(ABC):
    """How one model is compared with the file and written."""

    label: str

    @abstractmethod
    def wanted(self, config: Config) -> list[Wanted]:
        """The rows that the file asks for. Raises `ConfigError` for what may never be a row."""

    @abstractmethod
    def rows(self, wanted: list[Wanted], named: Named) -> list[Any]:
        """The rows to compare with: all that the file made or means."""

    @abstractmethod
    def namesakes(self, name: str) -> set[str]:
        """The names in use that begin like this one."""

    @abstractmethod
    def identity(self, fields: Fields) -> Hashable:
        """What makes two rows the same thing, whatever they are called."""

    @abstractmethod
    def current(self, row: Any, named: Named) -> Fields: ...

    @abstractmethod
    def write(self, row: Any, wanted: Wanted, changed: Fields, named: Named) -> None:
        """Set the changed fields on a row; not saved yet."""

    @abstractmethod
    def new(self, name: str) -> Any: ...

    def imported(self, row: Any, current: Fields) -> Fields:
        """The fields as last imported, comparable with `current`."""
        return dict(row.imported)

    def prepare(self, rows: list[Any], writing: list[Wanted], named: Named) -> None:
        """Before some are written: store what `rows` changed on them for the sake of comparing."""
        return

    def title(self, row: Any) -> str:
        return str(row.name)

    def worded(self, fields: Fields, name: str) -> str:
        """A field's value for people."""
        return repr(fields[name])

    def remove(self, row: Any, reason: str) -> None:
        row._change_reason = reason
        row.delete()

    def obstacle(self, row: Any, leaving: set[Any]) -> str:
        """Why a row stays when the deployments of these ids leave, or ""."""
        return ""
