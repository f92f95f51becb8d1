"""Making keys: new ones, and the adoption of keys that another gateway made."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from django.conf import settings

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
    ids = {tokens.public_id(text, pepper) for pepper in peppers()}
    for row in ApiKey.objects.filter(public_id__in=ids):
        if any(
            pepper.id == row.pepper and tokens.matches(text, pepper, row.verifier) for pepper in peppers()
        ):
            return row
    return None


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
    pepper = peppers()[0]
    key = ApiKey.objects.create(
        name=name,
        team=team,
        public_id=tokens.public_id(text, pepper),
        hint=tokens.hint(text),
        verifier=tokens.verifier(text, pepper),
        pepper=pepper.id,
        expires_at=expires_at,
        is_admin=is_admin,
        all_models=models is None,
        source=source,
    )
    if models is not None:
        key.allowed_models.set(models)
    return key, text
