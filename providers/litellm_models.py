"""The `model_list` of a config.yml: providers, models and deployments, and what became of every key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from providers.litellm_budgets import deployment_limits
from providers.litellm_defaults import default_params
from providers.litellm_info import OWN_FALLBACKS, Facts, joined, read_info
from providers.litellm_prices import read_prices
from providers.litellm_records import (
    DeploymentRecord,
    Desk,
    LimitRecord,
    ModelRecord,
    PriceRecord,
    ProviderRecord,
)
from providers.litellm_reliability import (
    BETWEEN_EVENTS,
    FIRST_EVENT,
    ForAll,
    pause_of,
    settle_retries,
    sooner,
)
from providers.litellm_shares import Claim, settle_priorities, settle_shares
from providers.litellm_tables import ALL_PARAMS, ENTRY
from providers.litellm_targets import (
    Address,
    Credential,
    NotImported,
    Upstream,
    address_in,
    credential_in,
    full_address,
    provider_stem,
    upstream_in,
)
from providers.litellm_values import (
    REFERENCE_NOTE,
    flag_of,
    given,
    holds_reference,
    integer_of,
    is_unread,
    items_of,
    mapping_of,
    name_of,
    number_of,
    seconds_of,
    text_of,
)
from providers.litellm_yaml import Node
from providers.patterns import STAR, is_pattern
from providers.prices import Charges
from providers.spelling import nearest
from providers.tags import LONGEST_TAG, problem_of_tags

# Keys of an entry that say something of its provider.
_OF_PROVIDER = {
    "switchyard_disconnect": "disconnect_policy",
    "switchyard_also_speaks": "also_speaks",
    "switchyard_provider_enabled": "enabled",
}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for entries that do not say otherwise.

    `params` are request defaults before the entry's own; `tagged`: tags decide whom a request reaches.
    """

    drop_params: bool = False
    max_parallel_requests: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    tagged: bool = False
    for_all: ForAll = field(default_factory=ForAll)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list, read; shares and priorities are settled among the entries of one model."""

    record: DeploymentRecord
    provider: ProviderRecord
    facts: Facts
    claim: Claim
    charges: Charges | None = None
    limits: tuple[LimitRecord, ...] = ()
    retries: Mapping[Node, int] = field(default_factory=dict)


@dataclass(slots=True)
class Catalogue:
    """The rows that a list asks for, each under its one name; `fallbacks` in our own form, by model."""

    providers: dict[str, ProviderRecord] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)
    deployments: dict[str, DeploymentRecord] = field(default_factory=dict)
    prices: list[PriceRecord] = field(default_factory=list)
    limits: list[LimitRecord] = field(default_factory=list)
    fallbacks: dict[str, Node] = field(default_factory=dict)
    _accounts: dict[object, str] = field(default_factory=dict)

    def provider(self, wanted: ProviderRecord) -> str:
        """The name under which this account is kept: shared by all entries that mean the same one."""
        headers = frozenset(wanted.extra_headers.items())
        account = (wanted.kind, wanted.base_url, wanted.secret_reference, wanted.secret, headers)
        if account not in self._accounts:
            name = self._accounts[account] = free_name(wanted.name, self.providers)
            self.providers[name] = replace(wanted, name=name)
        name = self._accounts[account]
        known = self.providers[name]
        self.providers[name] = replace(
            known,
            disconnect_policy=known.disconnect_policy or wanted.disconnect_policy,
            also_speaks=wanted.also_speaks if known.also_speaks is None else known.also_speaks,
            enabled=wanted.enabled if known.enabled is None else known.enabled,
        )
        return name

    def deploy(self, entry: Entry, desk: Desk) -> None:
        provider = self.provider(entry.provider)
        self._contradict(entry, self.providers[provider], desk)
        name = deployment_name(entry.record, provider, self.deployments)
        self.deployments[name] = replace(entry.record, name=name, provider=provider)
        if entry.charges is not None:
            self.prices.append(PriceRecord(name, entry.charges))
        self.limits += [replace(limit, deployment=name) for limit in entry.limits]

    def _contradict(self, entry: Entry, known: ProviderRecord, desk: Desk) -> None:
        """Entries of one account are one provider: what the first of them says of it holds."""
        for key, name in _OF_PROVIDER.items():
            said = getattr(entry.provider, name)
            if said not in ("", None) and said != getattr(known, name):
                told = f"an entry before says otherwise of the provider {known.name}, and that holds"
                desk.cover(entry.facts.nodes[key], "warning", told)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, ... that is not taken."""
    names, number, name = set(taken), 1, wanted
    while name in names:
        number += 1
        name = f"{wanted}-{number}"
    return name


def deployment_name(record: DeploymentRecord, provider: str, taken: Iterable[str]) -> str:
    """The record's own name, else `model/provider`; the upstream model and a number tell namesakes apart."""
    names = set(taken)
    wanted = record.name or f"{record.model}/{provider}"[:280].strip()
    if wanted in names and not record.name:
        wanted = f"{wanted}/{record.upstream_model}"[:280].strip()
    return free_name(wanted, names)


def read_model_list(node: Node, defaults: Defaults, desk: Desk) -> Catalogue:
    """The rows of a list."""
    catalogue = Catalogue()
    entries: list[Entry] = []
    for item in items_of(node):
        try:
            entries.append(_entry(item, defaults, desk))
        except NotImported as obstacle:
            desk.cover(item, "unsupported", f"the entry is not imported, see {obstacle.node.shown}")
            desk.note(obstacle.node, "unsupported", f"the entry is not imported: {obstacle.note}")
    groups: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        groups.setdefault(entry.record.model, []).append(index)
    for name, indexes in groups.items():
        claims = [entries[index].claim for index in indexes]
        settled = zip(indexes, settle_shares(claims, desk), settle_priorities(claims, desk), strict=True)
        for index, weight, priority in settled:
            record = replace(entries[index].record, weight=weight, priority=priority)
            entries[index] = replace(entries[index], record=record)
        group = [entries[index] for index in indexes]
        catalogue.models[name] = _model(group, defaults.for_all, desk)
        own = (entry.facts.nodes.get(OWN_FALLBACKS) for entry in group)
        if (written := next(filter(None, own), None)) is not None:
            catalogue.fallbacks[name] = written
    for entry in entries:
        catalogue.deploy(entry, desk)
    return catalogue


def _model(entries: Sequence[Entry], for_all: ForAll, desk: Desk) -> ModelRecord:
    """One model of all its entries."""
    model = joined([entry.facts for entry in entries], desk)
    claims = {node: retries for entry in entries for node, retries in entry.retries.items()}
    attempts = settle_retries(claims, len(entries), for_all, desk)
    return replace(model, max_attempts=attempts) if model.max_attempts is None else model


def _required(fields: Mapping[str, Node], name: str, owner: Node) -> Node:
    node = fields.get(name)
    if node is None or node.value is None:
        raise owner.error(f"{name} is missing")
    return node


def _entry(item: Node, defaults: Defaults, desk: Desk) -> Entry:
    fields = mapping_of(item)
    name = _model_name(_required(fields, "model_name", item), desk)
    body = _required(fields, "litellm_params", item)
    params = given(mapping_of(body), desk)
    _required(params, "model", body)
    for key, node in fields.items():
        if key not in ENTRY:
            hint = nearest(key, ENTRY | ALL_PARAMS)
            desk.cover(node, "unsupported", f"no key of an entry{hint}")
    desk.note(body, "applied", "a deployment")
    address = address_in(params, desk)
    upstream = upstream_in(params, address, desk)
    _check_stars(name, upstream.model, params["model"], desk)
    full = full_address(upstream.kind, address, params, desk)
    provider = _provider(params, upstream, full, credential_in(params, upstream.kind, full, desk), desk)
    facts = read_info(fields.get("model_info"), name, desk)
    record = replace(_deployment(params, upstream, defaults, desk), name=facts.deployment, model=name)
    record = replace(record, state=facts.state or record.state, **facts.own)
    provider = replace(
        provider,
        name=facts.provider or provider.name,
        disconnect_policy=facts.disconnect,
        also_speaks=facts.also_speaks,
        enabled=facts.provider_enabled,
    )
    charges = read_prices(params, facts.nodes, desk)
    limits = deployment_limits(params, charges is not None, desk)
    return Entry(record, provider, facts, _claim(body, params), charges, limits, _retries(params, desk))


def _model_name(node: Node, desk: Desk) -> str:
    name = name_of(node, 200)
    if holds_reference(node):
        raise NotImported(node, "references are not read here; write the name")
    told = f"every model that fits {name}" if is_pattern(name) else f"model {name}"
    desk.note(node, "applied", told)
    return name


def _check_stars(name: str, upstream: str, node: Node, desk: Desk) -> None:
    """A star of the upstream model is what one of the model's name stood for."""
    here, there = name.count(STAR), upstream.count(STAR)
    if there and not here:
        raise NotImported(node, f"a * needs one in model_name, such as {upstream}")
    if there and here != there:
        more = "LiteLLM sends the whole name" if here > there else "LiteLLM sends a *"
        told = "the first ones count" if here > there else "the last one stands for those that are missing"
        desk.more(node, "changed", f"model_name has {here} *, this has {there}: {told}; {more}")


def _retries(params: Mapping[str, Node], desk: Desk) -> dict[Node, int]:
    """What the entry says of retries; noted among the entries of its model."""
    node = params.get("num_retries")
    return {} if node is None or is_unread(node, desk) else {node: integer_of(node, 0)}


def _provider(
    params: Mapping[str, Node], upstream: Upstream, address: Address, credential: Credential, desk: Desk
) -> ProviderRecord:
    place = params.get("api_base") or params.get("base_url") or params["model"]
    if (unused := params.get("base_url")) and "api_base" in params:
        desk.note(unused, "inert", "api_base says it already")
    return ProviderRecord(
        name=provider_stem(upstream.kind, address.stored),
        kind=upstream.kind,
        base_url=address.stored,
        secret_reference=credential.reference,
        secret=credential.secret,
        extra_headers=_headers(params.get("extra_headers"), desk),
        address=address.resolved,
        where=str(place.error("").args[0]),
    )


def _headers(node: Node | None, desk: Desk) -> dict[str, str]:
    if node is None:
        return {}
    headers: dict[str, str] = {}
    desk.note(node, "applied", "sent with every request to this provider")
    for name, value in mapping_of(node).items():
        text = value.value
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise value.error("a header is text")
        if holds_reference(value):
            desk.note(value, "unsupported", REFERENCE_NOTE)
            continue
        headers[name] = str(text)
        if (
            not f"{name}{text}".isprintable()
            or not name.isascii()
            or not name.replace("-", "").replace("_", "").isalnum()
        ):
            raise value.error("a header name of letters, digits and -, and a value on one line, are expected")
        secretive = name.lower() in ("authorization", "x-api-key", "api-key")
        note = "kept in plain text; api_key keeps it encrypted" if secretive else ""
        desk.note(value, "warning" if secretive else "applied", note)
    return headers


def _claim(body: Node, params: Mapping[str, Node]) -> Claim:
    def amount(name: str) -> Fraction | None:
        node = params.get(name)
        if node is None or holds_reference(node):
            return None
        return Fraction(str(number_of(node, 0))).limit_denominator(10_000)

    order = params.get("order")
    return Claim(
        body=body,
        nodes={name: params[name] for name in ("weight", "rpm", "tpm", "order") if name in params},
        weight=amount("weight"),
        rpm=amount("rpm"),
        tpm=amount("tpm"),
        order=None if order is None or holds_reference(order) else integer_of(order, -1_000_000, 1_000_000),
    )


def _deployment(
    params: Mapping[str, Node], upstream: Upstream, defaults: Defaults, desk: Desk
) -> DeploymentRecord:
    def value[T](name: str, read: Callable[[Node], T], otherwise: T, note: str = "") -> T:
        node = params.get(name)
        if node is None:
            return otherwise
        if holds_reference(node):
            desk.note(node, "unsupported", REFERENCE_NOTE)
            return otherwise
        found = read(node)
        desk.note(node, "changed" if note else "applied", note or f"{name} {found}")
        return found

    seconds: Callable[[Node], float | None] = seconds_of
    until_event = f"seconds {FIRST_EVENT}"
    stream = value("stream_timeout", seconds, None, until_event)
    timeout = value("timeout", seconds, None)
    longest = value("request_timeout", seconds, None, "seconds for one attempt, as timeout is")
    return DeploymentRecord(
        name="",
        model="",
        provider="",
        upstream_model=upstream.model,
        max_parallel_requests=value(
            "max_parallel_requests",
            lambda node: integer_of(node, 1),
            defaults.max_parallel_requests,
            "counted over all workers together; per process in LiteLLM",
        ),
        tags=_tags(params.get("tags"), defaults.tagged, desk),
        timeout=longest if timeout is None else timeout,
        stream_timeout=sooner(stream, value("ttft_timeout", seconds, None, until_event)),
        idle_timeout=value("stream_idle_timeout", seconds, None, f"seconds {BETWEEN_EVENTS}"),
        eject_seconds=_pause(params.get("cooldown_time"), desk),
        default_params={**default_params(params, desk), **defaults.params},
        drop_params=_drop_params(params.get("drop_params"), defaults.drop_params, desk),
        state="active" if upstream.known else "disabled",
    )


def _drop_params(node: Node | None, usual: bool, desk: Desk) -> bool:
    if node is None or is_unread(node, desk):
        return usual
    drop = flag_of(node)
    if usual and not drop:
        desk.note(node, "changed", "kept; litellm_settings.drop_params overrides it in LiteLLM")
    else:
        desk.note(node, "applied", f"drop_params {drop}")
    return drop


def _pause(node: Node | None, desk: Desk) -> float | None:
    if node is not None and node.value in (0, "0"):
        told = "a single deployment is always put aside; 0 failures in a row on its model: none ever is"
        desk.note(node, "unsupported", told)
        return None
    return pause_of(node, desk)


def _tags(node: Node | None, read: bool, desk: Desk) -> tuple[str, ...]:
    if node is None:
        return ()
    if not read:
        told = "LiteLLM reads tags only with router_settings.enable_tag_filtering: true"
        desk.cover(node, "inert", told)
        return ()
    tags = [text_of(item, LONGEST_TAG) for item in items_of(node)]
    if problem := problem_of_tags(tags):
        raise node.error(problem.removesuffix("."))
    desk.note(node, "applied", "requests with one of these tags are sent here, and no others")
    return tuple(dict.fromkeys(tags))
