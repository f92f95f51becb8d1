"""What holds where a model or a deployment leaves a field empty, and who says so: for its page."""

from collections.abc import Mapping, Sequence

from django.conf import settings

from providers.health import FAILURES_IN_A_ROW, FIRST_PAUSE
from providers.models import Deployment, Model
from providers.retries import MOST_ATTEMPTS

# Field -> the setting that holds in the end.
_SETTINGS = {
    "deadline": "DEADLINE",
    "timeout": "TOTAL_TIMEOUT",
    "stream_timeout": "FIRST_BYTE_TIMEOUT",
    "idle_timeout": "IDLE_TIMEOUT",
    "connect_timeout": "CONNECT_TIMEOUT",
    "queue_seconds": "QUEUE_SECONDS",
    "max_queue": "QUEUE_LENGTH",
}
_BUILT_IN: Mapping[str, float] = {
    "max_attempts": MOST_ATTEMPTS,
    "eject_after": FAILURES_IN_A_ROW,
    "eject_seconds": FIRST_PAUSE,
}
# Field -> what of the model stands in for it, in order, on the page of a deployment.
_OF_MODEL = {
    "timeout": ("timeout",),
    "stream_timeout": ("stream_timeout", "timeout"),
    "idle_timeout": ("idle_timeout",),
    "connect_timeout": ("connect_timeout",),
    "eject_seconds": ("eject_seconds",),
    "queue_seconds": (),
}


def of_model(row: Model) -> dict[str, str]:
    """Field -> what holds while it is empty, such as `600 (setting TOTAL_TIMEOUT)`."""
    fields = ("max_attempts", "deadline", *_OF_MODEL, "max_queue", "eject_after")
    own = {"stream_timeout": row.timeout}
    return {
        field: f"{own[field]:g} (whole answer)" if own.get(field) else _in_the_end(field)
        for field in fields
        if field != "queue_seconds"
    }


def of_deployment(row: Deployment, model: Model | None) -> dict[str, str]:
    """The same of a deployment; `model` is None while it is not chosen yet."""
    return {field: _of_deployment(row, model, field, names) for field, names in _OF_MODEL.items()}


def _of_deployment(row: Deployment, model: Model | None, field: str, names: Sequence[str]) -> str:
    if field == "stream_timeout" and row.timeout:
        return f"{row.timeout:g} (whole answer)"
    for name in names if model else ():
        if value := getattr(model, name):
            return f"{value:g} (model)"
    return _in_the_end(field)


def _in_the_end(field: str) -> str:
    if field in _SETTINGS:
        return f"{getattr(settings, _SETTINGS[field]):g} (setting {_SETTINGS[field]})"
    return f"{_BUILT_IN[field]:g}"
