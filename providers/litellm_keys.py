"""The keys of a config.yml: the master key, and keys that it limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from providers.litellm_budgets import at_most, dollars_of, note_limit
from providers.litellm_models import free_name
from providers.litellm_records import Desk, KeyRecord, LimitRecord
from providers.litellm_tables import PUBLISHED_KEYS, USAGE_LIMIT, WINDOWS
from providers.litellm_values import (
    LARGEST_AMOUNT,
    Reference,
    checked_reference,
    integer_of,
    is_unread,
    look_up,
    mapping_of,
    reference_in,
    text_of,
    wrong,
)
from providers.litellm_yaml import Node
from providers.spelling import nearest

_MASTER_VARIABLES = frozenset({"SWITCHYARD_MASTER_KEY", "LITELLM_MASTER_KEY"})
_SHORTEST_GOOD_KEY = 20
_LONGEST_KEY = 512
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
# What these hold is no name of a person, and must not get into usage rows.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})


@dataclass(slots=True)
class Keys:
    """Keys and limits as they are found; `costs` are the places of their budgets."""

    keys: dict[str, KeyRecord] = field(default_factory=dict)
    limits: dict[tuple[str, str, str], LimitRecord] = field(default_factory=dict)
    costs: list[Node] = field(default_factory=list)

    def called(self, text: str, wanted: str) -> str:
        """The name of the key with this text; a key that nobody defined is added."""
        if text not in self.keys:
            taken = (key.name for key in self.keys.values())
            self.keys[text] = KeyRecord(free_name(wanted, taken), text)
        return self.keys[text].name


def read_keys(settings: Mapping[str, Node], desk: Desk) -> Keys:
    """The keys that `general_settings` defines or limits."""
    keys = Keys()
    _master_key(settings.get("master_key"), keys, desk)
    if limits := settings.get("usage_limits"):
        _usage_limits(limits, keys, desk)
    if header := settings.get("user_header_name"):
        _user_header(header, keys, desk)
    return keys


def _user_header(node: Node, keys: Keys, desk: Desk) -> None:
    """Trust the keys of this file, and no others, to name the end user in a header."""
    if is_unread(node, desk):
        return
    name = text_of(node, 64)
    if not name:
        desk.note(node, "inert", "empty; the body's `user` names the end user")
        return
    if not _HEADER.fullmatch(name):
        raise node.error("the name of a header, of letters, digits and -, is expected")
    if name.lower() in _SECRET_HEADERS:
        raise node.error(f"{name} carries a secret, which must not become the name of an end user")
    if not keys.keys:
        desk.note(
            node, "unsupported", "the file defines no key to trust with it; set it on keys in the admin"
        )
        return
    desk.note(
        node,
        "changed",
        "trusted from the keys that this file defines, and from no other; from any in LiteLLM",
    )
    for text, key in keys.keys.items():
        keys.keys[text] = replace(key, end_user_header=name)


def _master_key(node: Node | None, keys: Keys, desk: Desk) -> None:
    if node is None:
        return
    desk.note(node, "applied", "an admin key named master")
    text = _key_text(node, text_of(node, _LONGEST_KEY), desk)
    if not text:
        return
    if weakness := _weakness(text):
        desk.note(
            node, "warning", f"WEAK MASTER KEY: it {weakness}; set a random one before anybody can reach this"
        )
    keys.keys[text] = KeyRecord("master", text, is_admin=True)


def _weakness(text: str) -> str:
    if text in PUBLISHED_KEYS:
        return "is published in examples, so anybody knows it"
    if len(text) < _SHORTEST_GOOD_KEY:
        return f"is shorter than {_SHORTEST_GOOD_KEY} characters"
    return "repeats a few letters" if len(set(text)) < 8 else ""


def _key_text(node: Node, text: str, desk: Desk) -> str:
    """The key itself, references resolved; "" with a warning when there is none."""
    reference = checked_reference(node, text)
    if reference is not None:
        text = _resolved(node, reference, desk)
        if not text:
            return ""
    elif not text:
        desk.note(node, "warning", "empty, so no key is made")
    if text and (not text.isascii() or not text.isprintable() or len(text) > _LONGEST_KEY or " " in text):
        raise node.error("a key of printable ASCII characters without spaces is expected")
    return text


def _resolved(node: Node, reference: Reference, desk: Desk) -> str:
    found = look_up(reference, desk, also=_MASTER_VARIABLES)
    desk.resolved[reference.name] = found.value
    if not found.value and reference.fallback:
        desk.note(node, "warning", f"{reference.name} is unset: the value behind :- is used")
        return reference.fallback
    if not found.value:
        desk.note(node, "warning", found.problem.replace("not configured", "no key is made"))
    elif reference.braced:
        desk.note(
            node,
            "warning",
            f"LiteLLM takes ${{...}} for plain text; here it reads os.environ/{reference.name}",
        )
    return found.value


def _usage_limits(node: Node, keys: Keys, desk: Desk) -> None:
    desk.note(node, "changed", "LiteLLM never reads it; limits on these keys here")
    for number, (written, below) in enumerate(mapping_of(node).items(), start=1):
        if below.value is None:
            desk.note(below, "inert", "has no value")
            continue
        desk.note(below, "changed", "limits on this key")
        text = _key_text(below, written, desk)
        if not text:
            desk.cover(below, "warning", _why_no_key(below, desk))
            continue
        name = keys.called(text, _key_name(written, number))
        groups = below.value if isinstance(below.value, list) else [below]
        for group in groups:
            _limits(group, name, keys, desk)


def _why_no_key(node: Node, desk: Desk) -> str:
    verdict = desk.verdict(node)
    assert verdict is not None  # noted as a key before it was looked up
    return verdict.note


def _key_name(written: str, number: int) -> str:
    """A name that gives nothing of the key away: that of its variable, else a number."""
    reference = reference_in(written)
    if reference is None:
        return f"usage-limits-{number}"
    return reference.name.lower().removesuffix("_api_key").replace("_", "-")


def _limits(node: Node, key: str, keys: Keys, desk: Desk) -> None:
    fields = mapping_of(node)
    window = _window(fields.get("window"), desk)
    for name, below in fields.items():
        if name not in USAGE_LIMIT:
            desk.cover(below, "unsupported", f"not a known key{nearest(name, USAGE_LIMIT)}")
        elif name != "window" and below.value is None:
            desk.note(below, "inert", "has no value")
    for name, metric in (("max_requests", "requests"), ("max_tokens", "tokens"), ("max_cost", "cost")):
        if name in fields and fields[name].value is not None:
            _limit(fields[name], LimitRecord(metric, 0, window, key), keys, desk)


def _limit(node: Node, limit: LimitRecord, keys: Keys, desk: Desk) -> None:
    if limit.metric == "cost":
        amount = dollars_of(node)
        keys.costs.append(node)
    else:
        amount = integer_of(node, 0, LARGEST_AMOUNT)
    note_limit(node, desk, "changed", amount, at_most(limit.metric, amount, limit.window))
    place = (limit.key, limit.metric, limit.window)
    known = keys.limits.get(place)
    if known is not None and known.amount != amount:
        desk.note(
            node, "warning", "the file gives this key another limit of the same window; the smaller holds"
        )
        amount = min(amount, known.amount)
    keys.limits[place] = replace(limit, amount=amount)


def _window(node: Node | None, desk: Desk) -> str:
    if node is None:
        return "minute"
    if node.value is None:
        desk.note(node, "inert", "has no value; minute")
        return "minute"
    if not isinstance(node.value, str):
        raise wrong(node, "text")
    if node.value not in WINDOWS:
        raise node.error(f"one of {', '.join(WINDOWS)} is expected")
    desk.note(node, "changed", "")
    return node.value
