"""Who may ask, and how much: teams, API keys and their limits."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from keys.specs import LARGEST
from providers.changes import written
from providers.models import Deployment, Model, Sourced
from providers.tags import problem_of_tags

HEADER = RegexValidator(r"^[A-Za-z0-9-]*\Z", "A header's name has letters, digits and hyphens.")


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
    tags = models.JSONField(
        default=list,
        blank=True,
        help_text="Requests of all keys of this team have these tags: deployments with one of them answer.",
    )
    alert_emails = models.CharField(
        "alerts also to",
        max_length=500,
        blank=True,
        help_text="E-mail addresses, commas between: told when a limit of the team or its keys fills up.",
    )
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

    def clean(self) -> None:
        super().clean()
        if problem := problem_of_tags(self.tags):
            raise ValidationError({"tags": problem})


class Member(models.Model):
    """A person of a team, to whom keys of the team may belong."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members")
    name = models.CharField(max_length=120)
    email = models.EmailField(
        "e-mail", blank=True, help_text="Told when a limit of one of their keys fills up."
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who they are in this admin, if they log in here.",
    )
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["team__name", "name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="member_once_in_team")]

    def __str__(self) -> str:
        return self.name


class ApiKey(Sourced):
    """What a client shows to be let in. Only a peppered HMAC of the secret is kept."""

    class WithoutRedis(models.TextChoices):
        LOCAL = "local", "serve"
        CLOSED = "closed", "refuse"

    name = models.CharField(max_length=120, unique=True)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="keys")
    member = models.ForeignKey(
        Member,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="keys",
        help_text="Whose key it is, of the team's members.",
    )
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
    tags = models.JSONField(
        default=list,
        blank=True,
        help_text="Requests with this key have these tags, besides their own and the team's: deployments "
        "with one of them answer.",
    )
    end_user_header = models.CharField(
        "end user from header",
        max_length=64,
        blank=True,
        validators=[HEADER],
        help_text="Who holds this key is trusted to name the end user in this header, such as "
        "X-OpenWebUI-User-Email. Empty: the body's `user` names them.",
    )
    max_end_users = models.PositiveIntegerField(
        "most end users",
        null=True,
        blank=True,
        help_text="How many different end users this key may name. Empty: as MAX_END_USERS says.",
    )
    without_redis = models.CharField(
        "while limits cannot be counted",
        max_length=8,
        choices=WithoutRedis.choices,
        default=WithoutRedis.LOCAL,
        help_text="When Redis is away. Serve: each worker goes on with its part of what was left. Refuse: "
        "requests that a limit counts get 503.",
    )
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

    def clean(self) -> None:
        super().clean()
        if problem := problem_of_tags(self.tags):
            raise ValidationError({"tags": problem})
        if self.member is not None and self.member.team_id != self.team_id:
            raise ValidationError(
                {"member": f"{self.member} is a member of {self.member.team}: choose that team."}
            )


class EndUser(Sourced):
    """Whom requests are for, by the name that clients send. Seen ones are added by themselves."""

    name = models.CharField(max_length=256, unique=True)
    notes = models.TextField(blank=True)
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def _at_most_one_holder() -> Q:
    holders = ("key", "team", "end_user", "deployment")
    condition = Q(*[(f"{name}__isnull", True) for name in holders])
    for holder in holders:
        condition |= Q(*[(f"{name}__isnull", True) for name in holders if name != holder])
    return condition


class Limit(Sourced):
    """The most of something per window: for a key, team, end user or deployment, else for everyone.

    On all models or on one. `each_end_user`: counted for each end user apart (of the key or team, or of all);
    one with limits of their own of the same metric is not held by the ones for all.
    """

    class Metric(models.TextChoices):
        REQUESTS = "requests", "requests"
        TOKENS = "tokens", "tokens"
        COST = "cost", "cost"
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
    end_user = models.ForeignKey(
        EndUser, null=True, blank=True, on_delete=models.CASCADE, related_name="limits"
    )
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="limits"
    )
    each_end_user = models.BooleanField(
        "for each end user", default=False, help_text="Counted for each end user apart."
    )
    model = models.ForeignKey(
        Model,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="limits",
        help_text="Empty: all models together.",
    )
    metric = models.CharField(max_length=10, choices=Metric.choices)
    amount = models.BigIntegerField(
        validators=[MinValueValidator(0), MaxValueValidator(LARGEST)],
        help_text="Of cost: in nano-dollars (a billionth of a US dollar).",
    )
    window = models.CharField(max_length=8, choices=Window.choices, blank=True, default=Window.MINUTE)
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        help_text="In which days, weeks and months begin, such as Europe/Berlin.",
    )
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.ENFORCE)
    alerts = models.BooleanField(
        default=True, help_text="Tell people at 50, 80 and 100 % of a day, week, month or total."
    )
    reset_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="What was used before does not count."
    )
    history: Any = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_at_most_one_holder(), name="limit_of_one_holder"),
            models.CheckConstraint(
                condition=Q(each_end_user=False) | Q(end_user__isnull=True, deployment__isnull=True),
                name="limit_of_each_or_one",
            ),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="limit_not_negative"),
        ]

    def __str__(self) -> str:
        window = (
            f" per {self.window}"
            if self.window and self.window != "total"
            else " in total" * bool(self.window)
        )
        metric = "" if self.metric == self.Metric.COST else f" {self.metric}"
        return f"{self.amount_text}{metric}{window}"

    @property
    def amount_text(self) -> str:
        """`1,000`, of cost `$12.5`."""
        if self.metric != self.Metric.COST:
            return f"{self.amount:,}"
        return f"${Decimal(self.amount).scaleb(-9).normalize():,f}"

    def clean(self) -> None:
        super().clean()
        if self.metric == self.Metric.PARALLEL and self.window:
            raise ValidationError(
                {"window": "Parallel requests are counted at any moment; choose no window."}
            )
        if self.metric and self.metric != self.Metric.PARALLEL and not self.window:
            raise ValidationError({"window": "Choose the window in which this is counted."})
        if self.deployment_id and self.metric == self.Metric.PARALLEL:
            raise ValidationError({"metric": "Set the deployment's own max parallel requests."})
        if self.deployment_id and self.model_id:
            raise ValidationError({"model": "A deployment serves one model; leave this empty."})


class KeyChange(models.Model):
    """The change log that workers poll: which key's or team's rights or limits changed (neither: all)."""

    key_id = models.BigIntegerField(null=True)
    team_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"change {self.pk} of key {self.key_id or 'any'}, team {self.team_id or 'any'}"


def _note_change(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    match instance:
        case ApiKey():
            KeyChange.objects.create(key_id=instance.pk)
        case Team():
            KeyChange.objects.create(team_id=instance.pk)
        case Limit():
            _note_holder(instance.key_id, instance.team_id)
        case _:  # a name that stands in rights or limits
            KeyChange.objects.create()


def _note_holder(key_id: int | None, team_id: int | None) -> None:
    """Neither: its limit holds for everyone, or is of a deployment or an end user."""
    KeyChange.objects.create(key_id=key_id, team_id=None if key_id else team_id)


def _note_former_holder(sender: type[models.Model], instance: Limit, **_: Any) -> None:
    """Whose limit it was until now is held by it no longer."""
    former = Limit.objects.filter(pk=instance.pk).values_list("key_id", "team_id").first()
    if former is not None and former != (instance.key_id, instance.team_id):
        _note_holder(*former)


def _note_written(sender: type[models.Model], created: bool, **_: Any) -> None:
    """`update()` and bulk writes do not say of which rows. A new end user has no limits yet."""
    if sender in _WATCHED and not (created and sender is EndUser):
        KeyChange.objects.create()


def _note_models(sender: type[models.Model], instance: models.Model, action: str, **_: Any) -> None:
    if action.startswith("post_"):
        KeyChange.objects.create(key_id=instance.pk if isinstance(instance, ApiKey) else None)


_WATCHED = (ApiKey, Team, EndUser, Limit, Model, Deployment)
for _watched in _WATCHED:
    models.signals.post_save.connect(
        _note_change, sender=_watched, dispatch_uid=f"key-change-{_watched.__name__}"
    )
    models.signals.post_delete.connect(
        _note_change, sender=_watched, dispatch_uid=f"key-gone-{_watched.__name__}"
    )
models.signals.m2m_changed.connect(
    _note_models, sender=ApiKey.allowed_models.through, dispatch_uid="key-change-models"
)
models.signals.pre_save.connect(_note_former_holder, sender=Limit, dispatch_uid="key-change-former-holder")
written.connect(_note_written, dispatch_uid="key-change-written")
