"""What a config.yml becomes: the rows it asks for, and a verdict for each of its keys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from providers.litellm_yaml import Node
from providers.prices import Charges

type Said = Literal["applied", "changed", "inert", "unsupported", "warning"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one key; `shown` is its path without API keys, for people."""

    path: str
    shown: str
    line: int
    verdict: Said
    note: str


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """`where` is the place in the file, for messages; `address` is the base URL with references resolved.

    `disconnect_policy` "", `also_speaks` and `enabled` None: the file does not say.
    """

    name: str
    kind: str
    base_url: str
    secret_reference: str = ""
    secret: str = field(default="", repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    disconnect_policy: str = ""
    also_speaks: tuple[str, ...] | None = None
    enabled: bool | None = None
    address: str = field(default="", compare=False)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """`strategy` "" and None: the file does not say; times in seconds."""

    name: str
    kind: str = "chat"
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    info: Mapping[str, object] = field(default_factory=dict)
    strategy: str = ""
    aliases: tuple[str, ...] = ()
    hidden_aliases: tuple[str, ...] = ()
    hidden: bool | None = None
    max_attempts: int | None = None
    retries_by_error: Mapping[str, int] | None = None
    deadline: float | None = None
    connect_timeout: float | None = None
    timeout: float | None = None
    stream_timeout: float | None = None
    idle_timeout: float | None = None
    max_queue: int | None = None
    eject_after: int | None = None
    eject_seconds: float | None = None


# The fields of a model that say how its requests are tried, and how long; None: the file does not say.
MODEL_SETTINGS = (
    *("hidden", "max_attempts", "retries_by_error", "deadline", "connect_timeout", "timeout"),
    *("stream_timeout", "idle_timeout", "max_queue", "eject_after", "eject_seconds"),
)


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """`model` and `provider` are names of records of the same file; times in seconds."""

    name: str
    model: str
    provider: str
    upstream_model: str
    weight: int = 1
    priority: int = 0
    max_parallel_requests: int | None = None
    queue_seconds: float | None = None
    tags: tuple[str, ...] = ()
    connect_timeout: float | None = None
    timeout: float | None = None
    stream_timeout: float | None = None
    idle_timeout: float | None = None
    eject_seconds: float | None = None
    default_params: Mapping[str, object] = field(default_factory=dict)
    drop_params: bool = False
    state: str = "active"


@dataclass(frozen=True, slots=True)
class FallbackRecord:
    """Ask `to` instead of `model` `on` errors of that kind, lowest position first; both name model records.

    `where` is the place in the file, for messages.
    """

    model: str
    to: str
    on: str = "any"
    position: int = 0
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PriceRecord:
    """What the deployment record of that name costs."""

    deployment: str
    charges: Charges


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """`end_user_header`: the header in which this key's holder is trusted to name the end user."""

    name: str
    text: str = field(repr=False)
    is_admin: bool = False
    end_user_header: str = ""


@dataclass(frozen=True, slots=True)
class LimitRecord:
    """At most `amount` per window, of cost in nano-dollars: of the key or deployment record of that name,
    else of everyone together, or of each end user apart."""

    metric: str
    amount: int
    window: str
    key: str = ""
    deployment: str = ""
    each_end_user: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """One file, read. `resolved` holds the variables whose value was taken while reading."""

    providers: tuple[ProviderRecord, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    deployments: tuple[DeploymentRecord, ...] = ()
    fallbacks: tuple[FallbackRecord, ...] = ()
    prices: tuple[PriceRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    limits: tuple[LimitRecord, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    resolved: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reading needs from outside: variables, which of them may be named, and included files.

    `read_included` takes the path as written in the file and raises `ConfigError`.
    """

    environment: Mapping[str, str]
    may_refer_to: Callable[[str], bool]
    read_included: Callable[[str], str]


class Desk:
    """Where a file is worked on: its surroundings and the verdicts so far."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.resolved: dict[str, str] = {}
        self._verdicts: dict[Node, Verdict] = {}

    def note(self, node: Node, verdict: Said, note: str = "") -> None:
        """Give this key its verdict; a later one replaces an earlier one."""
        self._verdicts[node] = Verdict(node.path, node.shown, node.line, verdict, note)

    def add(self, node: Node, verdict: Said, note: str) -> None:
        """Like `note`, but a note of the same verdict stays in front of this one."""
        known = self._verdicts.get(node)
        self.note(node, verdict, f"{known.note}; {note}" if known and known.verdict == verdict else note)

    def more(self, node: Node, verdict: Said, note: str) -> None:
        """Put a further note behind the one that this key has; a warning stays one."""
        known = self._verdicts[node]
        said = "warning" if known.verdict == "warning" else verdict
        self.note(node, said, f"{known.note}; {note}")

    def cover(self, node: Node, verdict: Said, note: str = "") -> None:
        """Give this key and every key below it the same verdict."""
        self.note(node, verdict, note)
        for key in node.every_key():
            self.note(key, verdict, note)

    def verdict(self, node: Node) -> Verdict | None:
        return self._verdicts.get(node)

    def verdicts(self, roots: Iterable[Node]) -> tuple[Verdict, ...]:
        """The verdicts of every key of these files, in their order."""
        return tuple(self._verdicts[key] for root in roots for key in root.every_key())
