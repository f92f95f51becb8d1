"""Files and batches that clients made at providers: entered, listed and forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from usage.models import StoredObject


@dataclass(frozen=True, slots=True)
class Stored:
    """One of them, as the provider last told of it."""

    kind: str
    place: str
    id: str
    told: dict[str, Any]


def enter(stored: Stored, owner: str, key: str, key_id: str) -> None:
    """Keep it, or what is newly told of it."""
    StoredObject.objects.update_or_create(
        owner=owner,
        kind=stored.kind,
        place=stored.place,
        upstream_id=stored.id[:256],
        defaults={"told": stored.told},
        create_defaults={"told": stored.told, "key": key, "key_id": key_id},
    )


def forget(kind: str, place: str, id: str, owner: str) -> None:
    """It is no longer there."""
    StoredObject.objects.filter(owner=owner, kind=kind, place=place, upstream_id=id).delete()


def page(
    kind: str,
    owner: str,
    *,
    most: int,
    after: tuple[str, str] | None = None,
    newest_first: bool = True,
    purpose: str = "",
) -> tuple[Sequence[Stored], bool]:
    """So many of the owner's, behind the one of this place and id; and whether there are more."""
    rows = StoredObject.objects.filter(kind=kind, owner=owner).order_by("-pk" if newest_first else "pk")
    if purpose:
        rows = rows.filter(told__purpose=purpose)
    if after is not None:
        last = StoredObject.objects.filter(
            kind=kind, owner=owner, place=after[0], upstream_id=after[1]
        ).first()
        if last is None:
            return (), False
        rows = rows.filter(pk__lt=last.pk) if newest_first else rows.filter(pk__gt=last.pk)
    found = list(rows[: most + 1])
    listed = [Stored(row.kind, row.place, row.upstream_id, row.told) for row in found[:most]]
    return listed, len(found) > most
