"""How the console shows where deployments stand."""

from django.utils.safestring import SafeString

from providers.console import Tone, badge
from providers.models import Deployment
from providers.readiness import Standing, standings

TONES = {"active": Tone.GOOD, "draining": Tone.WARN, "not configured": Tone.BAD, "disabled": Tone.PLAIN}


def standing_badge(standing: Standing) -> SafeString:
    """The label of a deployment: active, draining, disabled, not configured."""
    return badge(standing.word, TONES[standing.word], standing.reason)


def percent(share: float) -> str:
    """`33 %`, and `< 1 %` for what would round to nothing."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def of_models(ids: set[int]) -> dict[int, Standing]:
    """Standings of all deployments of these models, in one query."""
    return standings(Deployment.objects.filter(model_id__in=ids).select_related("provider"))
