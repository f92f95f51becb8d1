"""Policies by kind of error: LiteLLM's names of exceptions, and the kinds that retries have here."""

from collections.abc import Mapping

from providers.litellm_records import Desk
from providers.litellm_values import integer_of, is_unread, mapping_of
from providers.litellm_yaml import Node
from providers.retries import MOST_RETRIES, RETRIED_KINDS, Kind
from providers.spelling import nearest

# Which errors each policy is about. The last one is of those that no other names.
POLICIES: Mapping[str, tuple[Kind, ...]] = {
    "AuthenticationErrorRetries": (Kind.AUTHENTICATION,),
    "NotFoundErrorRetries": (Kind.AUTHENTICATION,),
    "TimeoutErrorRetries": (Kind.TIMEOUT,),
    "RateLimitErrorRetries": (Kind.RATE_LIMIT,),
    "InternalServerErrorRetries": (Kind.SERVER_ERROR, Kind.CONNECT),
    "ServiceUnavailableErrorRetries": (Kind.SERVER_ERROR,),
}
_OTHERS = "DefaultRetries"
# A provider refused the request itself: the next one would do the same.
_NEVER_RETRIED = {
    "BadRequestErrorRetries": "never retried: the next provider would say the same",
    "ContentPolicyViolationErrorRetries": "never retried: write content_policy_fallbacks",
}


def retries_in(node: Node | None, desk: Desk) -> dict[str, int]:
    """Retries by kind of error of one policy."""
    if node is None:
        return {}
    desk.note(node, "applied", "retries by kind of error")
    found: dict[str, int] = {}
    others: Node | None = None
    for name, below in mapping_of(node).items():
        if below.value is None:
            desk.note(below, "inert", "has no value")
        elif name in _NEVER_RETRIED:
            _note_never(name, below, desk)
        elif name in POLICIES:
            _add(POLICIES[name], below, found, desk)
        elif name == _OTHERS:
            others = below
        else:
            known = (*POLICIES, *_NEVER_RETRIED, _OTHERS)
            desk.cover(below, "unsupported", f"not a known key{nearest(name, known)}")
    if others is not None:
        _add([Kind(kind) for kind in RETRIED_KINDS if kind not in found], others, found, desk)
    return found


def _note_never(name: str, node: Node, desk: Desk) -> None:
    if is_unread(node, desk):
        return
    desk.note(node, "unsupported" if integer_of(node, 0) else "applied", _NEVER_RETRIED[name])


def _add(kinds: tuple[Kind, ...] | list[Kind], node: Node, found: dict[str, int], desk: Desk) -> None:
    """Take over one number; of two for the same kind the larger holds."""
    if is_unread(node, desk):
        return
    asked = integer_of(node, 0)
    retries = min(asked, MOST_RETRIES)
    notes = [f"{retries} after {', '.join(kinds)}" if kinds else "every kind has a number of its own"]
    if asked > retries:
        notes.append(f"there are no more than {MOST_RETRIES}")
    if any(found.get(kind, retries) != retries for kind in kinds):
        notes.append("of two for one kind the larger holds")
    if retries:
        notes.append("each at another deployment")
    for kind in kinds:
        found[kind.value] = max(found.get(kind, 0), retries)
    desk.note(node, "changed" if retries or len(notes) > 1 else "applied", "; ".join(notes))


_COUNTED = frozenset(
    f"{name}AllowedFails"
    for name in (
        *("AuthenticationError", "TimeoutError", "RateLimitError", "InternalServerError"),
        *("ServiceUnavailableError", "BadGatewayError", "NotFoundError"),
    )
)
_NEVER_COUNTED = frozenset({"BadRequestErrorAllowedFails", "ContentPolicyViolationErrorAllowedFails"})


def note_allowed_fails(node: Node | None, desk: Desk) -> None:
    """`allowed_fails_policy`: one count for all kinds of errors is kept here."""
    if node is None:
        return
    desk.note(node, "unsupported", "see each of its keys")
    for name, below in mapping_of(node).items():
        if below.value is None:
            desk.note(below, "inert", "has no value")
        elif name in _NEVER_COUNTED:
            desk.note(below, "changed", "what a provider refuses of the request itself never counts here")
        elif name in _COUNTED:
            desk.note(below, "unsupported", "failures of all kinds are counted together: write allowed_fails")
        else:
            desk.cover(below, "unsupported", f"not a known key{nearest(name, _COUNTED | _NEVER_COUNTED)}")
