"""Where an entry of model_list goes: its provider, address and credential."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from providers.dialects import KINDS
from providers.litellm_records import Desk
from providers.litellm_tables import NO_KEY, OWN_WIRE, PUBLIC_URLS, WELL_KNOWN
from providers.litellm_values import checked_reference, look_up, names_variable, text_of
from providers.litellm_yaml import Node
from providers.patterns import STAR

_KIND_OF_HOST = {urlsplit(url).hostname: kind for kind, url in PUBLIC_URLS.items()}
_OLLAMA = frozenset({"ollama", "ollama_chat"})


class NotImported(Exception):
    """An entry that cannot become a deployment yet: the key that stands in the way, and what to do."""

    def __init__(self, node: Node, note: str) -> None:
        super().__init__(note)
        self.node = node
        self.note = note


@dataclass(frozen=True, slots=True)
class Upstream:
    """The provider's kind and its own name for the model; `known` is false while a variable is missing."""

    kind: str
    model: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """`stored` is what the row keeps (a reference stays one), `resolved` what it stands for now."""

    stored: str
    resolved: str


@dataclass(frozen=True, slots=True)
class Credential:
    reference: str = ""
    secret: str = ""


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def host_of(url: str) -> str:
    """The host, or "" of what is no URL."""
    parts = _split(url)
    return (parts.hostname or "").lower() if parts else ""


def address_in(params: Mapping[str, Node], desk: Desk) -> Address | None:
    """The `api_base`, None when the entry names none. Raises `NotImported`."""
    node = params.get("api_base") or params.get("base_url")
    if node is None:
        return None
    text = text_of(node, 500).strip()
    reference = checked_reference(node, text)
    if reference is None:
        if "${" in text:
            raise NotImported(
                node, "variables inside a text are not read; write os.environ/NAME for the whole of it"
            )
        desk.note(node, "applied", f"base URL {text.rstrip('/')}")
        return Address(text.rstrip("/"), text.rstrip("/"))
    found = look_up(reference, desk)
    desk.resolved[reference.name] = found.value
    if not found.value and reference.fallback:
        desk.note(node, "warning", f"{reference.name} is unset: the value behind :- is used")
        return Address(reference.fallback.rstrip("/"), reference.fallback.rstrip("/"))
    _note_reference(node, desk, found.problem, reference.name, reference.braced)
    return Address(reference.stored, found.value.rstrip("/"))


def _note_reference(node: Node, desk: Desk, problem: str, name: str, braced: bool) -> None:
    if problem:
        desk.note(node, "warning", problem)
    elif braced:
        desk.note(node, "warning", f"LiteLLM takes ${{...}} for plain text; here it reads os.environ/{name}")
    else:
        desk.note(node, "applied", f"read from {name}")


def _model_text(node: Node, desk: Desk) -> tuple[str, bool]:
    """The model string with a reference resolved, and whether that was possible."""
    text = text_of(node, 300)
    reference = checked_reference(node, text)
    if reference is None:
        if not text or text != text.strip() or not text.isprintable():
            raise node.error("provider/model is expected, on one line and without spaces at its ends")
        return text, True
    found = look_up(reference, desk)
    desk.resolved[reference.name] = found.value
    value = found.value or reference.fallback or ""
    if not value:
        desk.note(node, "warning", found.problem)
        return reference.stored, False
    if len(value) > 300 or value != value.strip() or not value.isprintable():
        raise node.error(f"{reference.name} does not hold a model name")
    _note_reference(node, desk, "", reference.name, reference.braced)
    return value, True


def upstream_in(params: Mapping[str, Node], address: Address | None, desk: Desk) -> Upstream:
    """Provider and upstream model of an entry; notes the `model` key. Raises `NotImported`."""
    node = params["model"]
    text, known = _model_text(node, desk)
    if text == STAR and "custom_llm_provider" not in params and address is None:
        raise NotImported(
            node, "* takes the provider from the name asked for; write an entry such as openai/* for each"
        )
    chosen = _chosen(params, text, known, address)
    if not chosen.model:
        raise node.error("a model name is expected behind the provider")
    if desk.verdict(node) is None:
        note = f"{chosen.reason}{chosen.model} at {chosen.kind}"
        desk.note(node, "warning" if chosen.guessed else "applied", note)
    if custom := params.get("custom_llm_provider"):
        desk.note(custom, "applied", "decides the provider, the model name is kept whole")
    return Upstream(chosen.kind, chosen.model, known)


@dataclass(frozen=True, slots=True)
class _Chosen:
    kind: str
    model: str
    reason: str = ""
    guessed: bool = False


def _chosen(params: Mapping[str, Node], text: str, known: bool, address: Address | None) -> _Chosen:
    node = params["model"]
    if custom := params.get("custom_llm_provider"):
        return _Chosen(_supported(text_of(custom, 40), custom), text)
    head, slash, rest = text.partition("/")
    if known and slash and (head in KINDS or head in OWN_WIRE):
        return _Chosen(_supported(head, node), rest)
    well_known = next((kind for starts, kind in WELL_KNOWN if text.startswith(starts)), "")
    if known and well_known:
        return _Chosen(_supported(well_known, node), text, "a well-known name: ")
    if address and (kind := _KIND_OF_HOST.get(host_of(address.resolved))):
        return _Chosen(kind, text, "known by its address: ")
    if address or not known:
        reason = "no provider before the first /, so LiteLLM skips this entry; here: "
        return _Chosen("openai", text, reason, guessed=True)
    raise NotImported(node, "the provider is not known; write openai/NAME with an api_base")


def _supported(kind: str, node: Node) -> str:
    if kind in KINDS:
        return kind
    if kind in OWN_WIRE:
        raise NotImported(
            node,
            f"{kind} speaks a wire of its own; where it has an OpenAI-compatible address, write "
            "openai/NAME with that api_base",
        )
    raise NotImported(node, f"{kind} is no known provider; write openai with an api_base")


def full_address(kind: str, address: Address | None, params: Mapping[str, Node], desk: Desk) -> Address:
    """The address with what the provider's kind adds. Raises `NotImported` when there is none."""
    if address is None:
        public = KINDS[kind]
        if public is None:
            raise NotImported(params["model"], f"{kind} has no public address; write an api_base")
        return Address(public, public)
    parts = _split(address.stored)
    if kind == "anthropic" and address.stored == address.resolved and parts and not parts.path.strip("/"):
        node = params.get("api_base") or params["base_url"]
        desk.note(node, "changed", "asked at its version 1: /v1 is added")
        base = address.stored.rstrip("/")
        return Address(f"{base}/v1", f"{base}/v1")
    if kind in _OLLAMA and address.stored == address.resolved and parts and not parts.path:
        node = params.get("api_base") or params["base_url"]
        desk.note(node, "changed", "asked through Ollama's OpenAI-compatible endpoint: /v1 is added")
        return Address(f"{address.stored}/v1", f"{address.stored}/v1")
    return address


def credential_in(params: Mapping[str, Node], kind: str, address: Address, desk: Desk) -> Credential:
    """The API key: a reference, a literal to be sealed, or none."""
    node = params.get("api_key")
    if node is None:
        return _usual_credential(params, kind, address, desk)
    text = text_of(node, 4000)
    reference = checked_reference(node, text)
    if reference is None:
        return _literal(node, text, desk)
    found = look_up(reference, desk)
    if reference.fallback is not None:
        desk.resolved[reference.name] = found.value
    if not found.value and reference.fallback is not None:
        literal = _literal(node, reference.fallback, desk)
        desk.note(node, "warning", f"{reference.name} is unset: the value behind :- is used")
        return literal
    _note_reference(node, desk, found.problem, reference.name, reference.braced)
    return Credential(reference=reference.name)


def _literal(node: Node, text: str, desk: Desk) -> Credential:
    if text.casefold() in NO_KEY:
        desk.note(node, "applied", "no key is sent")
        return Credential()
    if names_variable(text):
        raise NotImported(
            node, "variables inside a text are not read; write os.environ/NAME for the whole of it"
        )
    if not text.isascii() or not text.isprintable():
        raise node.error("a key of printable ASCII characters is expected")
    desk.note(node, "applied", "kept encrypted; os.environ/NAME would keep it out of the file")
    return Credential(secret=text)


def _usual_credential(params: Mapping[str, Node], kind: str, address: Address, desk: Desk) -> Credential:
    """`<PROVIDER>_API_KEY`, where the provider is a public service that asks for one."""
    public = PUBLIC_URLS.get(kind)
    if public is None:
        return Credential()
    name = f"{kind.upper()}_API_KEY"
    given = params.get("api_base") or params.get("base_url")
    if (
        given is not None
        and host_of(address.resolved) != host_of(public)
        and desk.surroundings.environment.get(name)
    ):
        desk.note(given, "warning", f"no api_key: {name} is sent to this address, as LiteLLM does")
    elif not desk.surroundings.environment.get(name):
        desk.add(
            params["model"],
            "warning",
            f"no api_key, and {name} is unset or empty: not configured until it is set",
        )
    return Credential(reference=name)


def provider_stem(kind: str, base_url: str) -> str:
    """A readable name: `nebius`, `openai-10.3.0.42-11434`, `openai-my-base-url`."""
    if base_url.startswith("os.environ/"):
        return f"{kind}-{base_url.removeprefix('os.environ/').lower().replace('_', '-')}"[:100]
    host = host_of(base_url)
    if host in _KIND_OF_HOST:
        return _KIND_OF_HOST[host]
    port = re.search(r":(\d+)$", urlsplit(base_url).netloc) if host else None
    stem = f"{kind}-{host}-{port[1]}" if port else f"{kind}-{host or 'server'}"
    return stem[:100]
