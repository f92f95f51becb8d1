"""How the console shows where deployments stand."""

from dataclasses import replace

from django.utils.safestring import SafeString

from providers.console import Tone, badge
from providers.models import Deployment
from providers.readiness import Standing, standings
from providers.running import Running

TONES = {
    "active": Tone.GOOD,
    "draining": Tone.WARN,
    "not configured": Tone.BAD,
    "disabled": Tone.PLAIN,
    "put aside": Tone.WARN,
    "set up wrongly": Tone.BAD,
}


# The words of those that requests are sent to, however they answer.
LIVE = frozenset({"active", "put aside", "set up wrongly"})


def standing_badge(standing: Standing) -> SafeString:
    """The label of a deployment: active, draining, disabled, put aside, not configured, set up wrongly."""
    return badge(standing.word, TONES[standing.word], standing.reason)


def percent(share: float) -> str:
    """`33 %`, and `< 1 %` for what would round to nothing."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def of_models(ids: set[int]) -> dict[int, Standing]:
    """Standings of all deployments of these models, in one query."""
    return standings(Deployment.objects.filter(model_id__in=ids).select_related("provider"))


def seen(standing: Standing, running: Running | None, id: int) -> Standing:
    """Where an active deployment really stands: what its provider's answers say goes before the row."""
    if running is None or not standing.serves:
        return standing
    if status := running.wrong.get(id):
        told = f"its provider answers {status}: look at its address, model name and API key"
        return replace(standing, word="set up wrongly", reason=told)
    if (left := running.aside.get(id)) is not None:
        return replace(standing, word="put aside", reason=f"it failed; asked again {_in(left)}")
    return standing


def _in(seconds: float) -> str:
    return f"in {seconds:.0f} s" if seconds >= 1 else "with the next request"
