"""Making keys: new ones, and the adoption of keys that another gateway made."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from itertools import chain, count

from django.conf import settings
from django.db import transaction

from keys import tokens
from keys.models import ApiKey, Team
from providers.models import Model, Sourced


@lru_cache(maxsize=4)
def _peppers(secret_keys: tuple[str, ...]) -> tuple[tokens.Pepper, ...]:
    return tuple(tokens.pepper_from(key) for key in secret_keys)


def peppers() -> tuple[tokens.Pepper, ...]:
    """The peppers in use: the first makes verifiers, all of them check."""
    return _peppers((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def find(text: str) -> ApiKey | None:
    """The row of this key whatever its state, or None."""
    rows = ApiKey.objects.filter(public_id__in=public_ids(text))
    return next((row for row in rows if is_text_of(text, row)), None)


def public_ids(text: str) -> set[str]:
    """What the row of this key may be found by: keys of another make have an id of each pepper."""
    return {tokens.public_id(text, pepper) for pepper in peppers()}


def is_text_of(text: str, row: ApiKey) -> bool:
    """Whether this is the key that the row's verifier was made of."""
    return any(pepper.id == row.pepper and tokens.matches(text, pepper, row.verifier) for pepper in peppers())


def stamp(key: ApiKey, text: str) -> None:
    """Give a row what the key of this text is found and checked by. Not saved yet."""
    pepper = peppers()[0]
    key.public_id = tokens.public_id(text, pepper)
    key.hint = tokens.hint(text)
    key.verifier = tokens.verifier(text, pepper)
    key.pepper = pepper.id


def issue(
    name: str,
    *,
    text: str | None = None,
    team: Team | None = None,
    models: Iterable[Model] | None = None,
    expires_at: datetime | None = None,
    is_admin: bool = False,
    source: str = Sourced.Source.ADMIN,
) -> tuple[ApiKey, str]:
    """Save a key and return it with its text, which is kept nowhere. `text` adopts a foreign key."""
    text = text or tokens.generate()
    key = ApiKey(
        name=name,
        team=team,
        expires_at=expires_at,
        is_admin=is_admin,
        all_models=models is None,
        source=source,
    )
    stamp(key, text)
    key.save()
    if models is not None:
        key.allowed_models.set(models)
    return key, text


# Marks a key of the environment that was put aside because the variable changed, so that only such a
# key comes back with its value: one that an operator disabled stays disabled.
_RETIRED = "retired"


def _free_master_name() -> str:
    taken = set(ApiKey.objects.filter(name__startswith="master").values_list("name", flat=True))
    further = (f"master (environment {number})" for number in count(2))
    return next(name for name in chain(("master", "master (environment)"), further) if name not in taken)


def _retire_others(current: ApiKey | None) -> list[ApiKey]:
    """Disable the keys of earlier values of the variable; returns them."""
    others = ApiKey.objects.filter(source=Sourced.Source.ENVIRONMENT, enabled=True)
    retired = list(others.exclude(pk=current.pk) if current else others)
    for row in retired:
        row.enabled = False
        row.imported = {**row.imported, _RETIRED: True}
        row.save()
    return retired


def _revive(row: ApiKey) -> None:
    retired = bool(row.imported.get(_RETIRED))
    if row.is_admin and not retired:
        return
    row.is_admin = row.all_models = True
    if retired:
        row.enabled = True
        row.imported = {name: value for name, value in row.imported.items() if name != _RETIRED}
    row.save()


@transaction.atomic
def ensure_master_key(text: str) -> tuple[ApiKey | None, list[ApiKey]]:
    """Make the environment's master key ("" for none) a key row; nothing is ever deleted.

    Returns its row and the rows of earlier values, which are disabled now.
    """
    row = find(text) if text else None
    if row is not None:
        _revive(row)
    elif text:
        row, _ = issue(_free_master_name(), text=text, is_admin=True, source=Sourced.Source.ENVIRONMENT)
    return row, _retire_others(row)
