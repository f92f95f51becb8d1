"""Who may have work done that only its provider counts, and bills when it is over: batches."""

from django.conf import settings

from gateway.errors import ApiError
from gateway.files import Place
from keys.entries import Entry
from keys.limits import Rule, is_budget
from providers.snapshot import ServedModel, Snapshot


def may_batch(snapshot: Snapshot, caller: Entry, place: Place) -> None:
    """Raises `ApiError` 403 for a key with bounds that nothing would hold a batch to.

    A batch's requests are in a file that its provider reads: models, tokens and costs pass by the gateway.
    """
    if settings.BATCHES_BEYOND_LIMITS:
        return
    for rule in caller.rules:
        if _bounds_use(rule):
            raise _refused(f"{rule.owner} has a limit on {rule.metric}", "what it uses")
    if any(_is_at(place, model) and not caller.may_use(model.name) for model in snapshot.models.values()):
        bound = f"key '{caller.name}' may not use all models at '{place.target.provider}'"
        raise _refused(bound, "which models it names")


def _bounds_use(rule: Rule) -> bool:
    """Rates of requests and places at a time are of no concern: a batch is one request."""
    if rule.shadow or rule.metric == "parallel":
        return False
    return rule.metric == "tokens" or is_budget(rule)


def _is_at(place: Place, model: ServedModel) -> bool:
    return any(target.provider_key == place.key for target in model.targets.values())


def _refused(bound: str, unknown: str) -> ApiError:
    message = (
        f"Batches are not open to this key: {bound}, and only the provider knows of a batch {unknown}. Send"
        " the requests one by one, or ask your operator for another key (or to set BATCHES_BEYOND_LIMITS)."
    )
    return ApiError(403, message, code="batch_beyond_limits")
