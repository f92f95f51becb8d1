"""From a limit's row to the usage rows that it counts."""

from keys.limits import Scope
from keys.models import Limit


def scope_of(limit: Limit, end_user: str | None = None) -> Scope:
    """What the limit counts; of one for each end user, that of this one (None: of all together)."""
    named = limit.end_user.name if limit.end_user else None
    return Scope(
        key_id=limit.key.public_id if limit.key else "",
        team=limit.team.name if limit.team else "",
        end_user=end_user if limit.each_end_user else named,
        model=limit.model.name if limit.model else "",
        deployment=limit.deployment.name if limit.deployment else "",
    )


def holder_of(limit: Limit) -> str:
    """Whose limit it is, as clients and operators read it: "key 'alice'", "everyone"."""
    holder: str = "everyone"
    if limit.key:
        holder = f"key '{limit.key.name}'"
    elif limit.team:
        holder = f"team '{limit.team.name}'"
    elif limit.end_user:
        holder = f"end user '{limit.end_user.name}'"
    elif limit.deployment:
        holder = f"deployment '{limit.deployment.name}'"
    if not limit.each_end_user:
        return holder
    return "each end user" if holder == "everyone" else f"each end user of {holder}"
