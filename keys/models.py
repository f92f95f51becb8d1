"""Who may ask, and how much: teams, API keys and their limits."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords

from providers.models import Model, Sourced


def _days() -> "models.PositiveSmallIntegerField[Any, Any]":
    return models.PositiveSmallIntegerField(
        "keep them for days",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Then they are deleted. Empty: as EXCHANGE_RETENTION_DAYS says.",
    )


class Team(Sourced):
    """People who share keys, limits and a bill."""

    name = models.CharField(max_length=120, unique=True)
    notes = models.TextField(blank=True)
    keep_exchanges = models.BooleanField(
        "keep prompts and answers",
        default=False,
        help_text="Stores the full text of every request and answer of all keys of this team, for operators "
        "to read. This is personal data: tell the people first, and set redaction rules.",
    )
    exchange_days = _days()
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiKey(Sourced):
    """What a client shows to be let in. Only a peppered HMAC of the secret is kept."""

    name = models.CharField(max_length=120, unique=True)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="keys")
    public_id = models.CharField("key id", max_length=40, unique=True, editable=False)
    hint = models.CharField("begins with", max_length=24, blank=True, editable=False)
    verifier = models.CharField(max_length=64, editable=False)
    pepper = models.CharField(
        max_length=8, editable=False, help_text="Which pepper the verifier was made with."
    )
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    is_admin = models.BooleanField(
        "master key", default=False, help_text="May use every model and the management API."
    )
    all_models = models.BooleanField(default=True, help_text="Off: only the models chosen below.")
    allowed_models = models.ManyToManyField(Model, blank=True, related_name="keys")
    keep_exchanges = models.BooleanField(
        "keep prompts and answers",
        default=False,
        help_text="Stores the full text of every request and answer of this key, for operators to read. This "
        "is personal data: tell the people first, and set redaction rules. Off here, the team may still keep "
        "them.",
    )
    exchange_days = _days()
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    history: Any = HistoricalRecords(excluded_fields=["verifier", "pepper", "last_used_at"])

    class Meta:
        ordering = ["name"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class Limit(Sourced):
    """The most of something per window, for a key or a team, on all models or on one."""

    class Metric(models.TextChoices):
        REQUESTS = "requests", "requests"
        TOKENS = "tokens", "tokens"
        PARALLEL = "parallel", "parallel requests"

    class Window(models.TextChoices):
        NONE = "", "at any moment"
        SECOND = "second", "second"
        MINUTE = "minute", "minute"
        HOUR = "hour", "hour"
        DAY = "day", "day"
        WEEK = "week", "week"
        MONTH = "month", "month"
        TOTAL = "total", "total"

    class Mode(models.TextChoices):
        ENFORCE = "enforce", "enforce"
        SHADOW = "shadow", "shadow"

    key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.CASCADE, related_name="limits")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="limits")
    model = models.ForeignKey(
        Model,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
        help_text="Empty: all models together.",
    )
    metric = models.CharField(max_length=10, choices=Metric.choices)
    amount = models.BigIntegerField(validators=[MinValueValidator(0)])
    window = models.CharField(max_length=8, choices=Window.choices, blank=True, default=Window.MINUTE)
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        help_text="In which days, weeks and months begin, such as Europe/Berlin.",
    )
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.ENFORCE)
    history: Any = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(key__isnull=True) ^ models.Q(team__isnull=True),
                name="limit_of_key_or_team",
            ),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="limit_not_negative"),
        ]

    def __str__(self) -> str:
        window = (
            f" per {self.window}"
            if self.window and self.window != "total"
            else " in total" * bool(self.window)
        )
        return f"{self.amount} {self.metric}{window}"

    def clean(self) -> None:
        super().clean()
        if self.metric == self.Metric.PARALLEL and self.window:
            raise ValidationError(
                {"window": "Parallel requests are counted at any moment; choose no window."}
            )
        if self.metric and self.metric != self.Metric.PARALLEL and not self.window:
            raise ValidationError({"window": "Choose the window in which this is counted."})


class KeyChange(models.Model):
    """The change log that workers poll: which key's rights or limits changed (none: all of them)."""

    key_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"change {self.pk} of key {self.key_id or 'any'}"


def _note_change(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    if isinstance(instance, ApiKey):
        KeyChange.objects.create(key_id=instance.pk)
    elif isinstance(instance, Limit) and instance.key_id:
        KeyChange.objects.create(key_id=instance.key_id)
    else:  # a team, its limits, or a model whose id stands in rights
        KeyChange.objects.create(key_id=None)


def _note_models(sender: type[models.Model], instance: models.Model, action: str, **_: Any) -> None:
    if action.startswith("post_"):
        KeyChange.objects.create(key_id=instance.pk if isinstance(instance, ApiKey) else None)


for _watched in (ApiKey, Team, Limit, Model):
    models.signals.post_save.connect(
        _note_change, sender=_watched, dispatch_uid=f"key-change-{_watched.__name__}"
    )
    models.signals.post_delete.connect(
        _note_change, sender=_watched, dispatch_uid=f"key-gone-{_watched.__name__}"
    )
models.signals.m2m_changed.connect(
    _note_models, sender=ApiKey.allowed_models.through, dispatch_uid="key-change-models"
)
