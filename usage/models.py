"""What was used: one row per attempt at a provider, and the roll-ups derived from them."""

from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models
from simple_history.models import HistoricalRecords

from keys.models import Limit
from providers import decisions
from usage import redaction
from usage.redaction import LONGEST_PATTERN


class StoredObject(models.Model):
    """A file or batch that a client made at a provider: who lists it, and what the provider last said of it.

    `owner` is a team or key as `Entry.owner` names it, `place` the provider's id.
    """

    kind = models.CharField(max_length=8, choices=[("file", "file"), ("batch", "batch")])
    owner = models.CharField(max_length=60)
    place = models.CharField(max_length=40)
    upstream_id = models.CharField(max_length=256)
    key = models.CharField(max_length=120)
    key_id = models.CharField(max_length=40)
    told = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "file or batch"
        verbose_name_plural = "files and batches"
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "kind", "place", "upstream_id"], name="stored_object_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.upstream_id}"


class Attempt(models.Model):
    """One attempt at a deployment, or one request that a limit refused. Written once, by the ledger.

    Names are kept as text: deleting a key or a deployment never deletes its usage.
    """

    class Status(models.TextChoices):
        OK = "ok", "ok"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"
        INTERRUPTED = "interrupted", "interrupted"
        REFUSED = "refused", "refused"
        CACHED = "cached", "cached"

    attempt_id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.CharField(max_length=128)
    upstream_request_id = models.CharField(max_length=256, null=True)  # noqa: DJ001  null: the provider named none
    started_at = models.DateTimeField()
    key = models.CharField(max_length=120)
    key_id = models.CharField(max_length=40)
    team = models.CharField(max_length=120, blank=True)
    end_user = models.CharField(max_length=256, blank=True)
    model = models.CharField(max_length=200)
    deployment = models.CharField(max_length=300, blank=True)
    provider = models.CharField(max_length=120, blank=True)
    endpoint = models.CharField(max_length=64)
    status = models.CharField(max_length=12, choices=Status.choices)
    http_status = models.PositiveSmallIntegerField(null=True)
    error_class = models.CharField(max_length=64, blank=True)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)
    priced = models.BooleanField(default=False)
    estimated = models.BooleanField(default=False)
    stream = models.BooleanField(default=False)
    ttft_ms = models.PositiveIntegerField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    config_version = models.BigIntegerField(default=0)
    # With defaults in the database too: a worker of the version before goes on writing after a migration.
    task = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="The X-Task header."
    )
    cache_write_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_input_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_output_tokens = models.BigIntegerField(default=0, db_default=0)
    images = models.BigIntegerField(default=0, db_default=0)
    anomaly = models.CharField(
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="What was wrong with the provider's usage, such as negative, not_a_number or missing.",
    )
    price_id = models.BigIntegerField(null=True, help_text="The price that it was rated with.")
    attempt_number = models.PositiveSmallIntegerField(
        default=1, db_default=1, help_text="Which of its request's attempts it is; later ones are retries."
    )
    # Without defaults: SQLite would write the whole table anew to add them.
    upstream_model = models.CharField(  # noqa: DJ001
        max_length=300, null=True, help_text="The provider's own name of the model that was asked."
    )
    decision = models.TextField(  # noqa: DJ001
        max_length=decisions.LONGEST,
        null=True,
        help_text="Why this deployment, as providers/decisions.py wrote it; null: nobody knows.",
    )
    chat_id = models.CharField(  # noqa: DJ001
        max_length=128, null=True, help_text="The client's conversation: the X-OpenWebUI-Chat-Id header."
    )
    audio_seconds = models.BigIntegerField(
        null=True, help_text="Of sound that was heard, the last one begun counted whole; null: none."
    )
    characters = models.BigIntegerField(null=True, help_text="That were spoken; null: none.")

    class Meta:
        verbose_name = "request"
        ordering = ["-attempt_id"]
        indexes = [
            models.Index(fields=["request_id"], name="attempt_request"),
            models.Index(fields=["key_id", "attempt_id"], name="attempt_key"),
            models.Index(fields=["model", "attempt_id"], name="attempt_model"),
            models.Index(fields=["attempt_id"], condition=~models.Q(anomaly=""), name="attempt_anomaly"),
            models.Index(
                fields=["chat_id", "attempt_id"],
                condition=models.Q(chat_id__isnull=False),
                name="attempt_chat",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.status} {self.attempt_id}"


class Exchange(models.Model):
    """What was asked and answered in one attempt, for keys and teams that keep it; redacted and cut.

    A whole answer is as the provider sent it, a stream is put together to one `chat.completion`.
    """

    attempt_id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.CharField(max_length=128)
    key = models.CharField(max_length=120)
    key_id = models.CharField(max_length=40)
    team = models.CharField(max_length=120, blank=True)
    model = models.CharField(max_length=200)
    stream = models.BooleanField(default=False)
    complete = models.BooleanField(default=True, help_text="The answer came to its end.")
    request = models.TextField(blank=True)
    request_bytes = models.BigIntegerField(default=0, help_text="As the client sent it.")
    answer = models.TextField(blank=True)
    answer_bytes = models.BigIntegerField(default=0, help_text="Before redaction and cutting.")
    delete_after = models.DateTimeField(
        null=True, db_index=True, help_text="None: as EXCHANGE_RETENTION_DAYS says."
    )
    chat_id = models.CharField(  # noqa: DJ001
        "chat", max_length=128, null=True, help_text="The client's conversation."
    )

    class Meta:
        ordering = ["-attempt_id"]
        indexes = [
            models.Index(fields=["key_id", "attempt_id"], name="exchange_key"),
            models.Index(
                fields=["chat_id", "attempt_id"],
                condition=models.Q(chat_id__isnull=False),
                name="exchange_chat",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.model} {self.attempt_id}"


class RedactionRule(models.Model):
    """What is taken out of prompts and answers before they are kept."""

    name = models.CharField(max_length=120, unique=True)
    pattern = models.CharField(
        max_length=LONGEST_PATTERN,
        help_text="A regular expression of Python. Bound what repeats, such as {1,64} in place of +.",
    )
    replacement = models.CharField(
        max_length=120, default="[redacted]", blank=True, help_text="Put in its place, as it is written."
    )
    enabled = models.BooleanField(default=False)
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if problem := redaction.problem(self.pattern):
            raise ValidationError({"pattern": problem})


def _unnamed() -> str:
    """For a row that the roll-up did not make: no other one is like it."""
    return uuid4().hex


class Sums(models.Model):
    """Sums of one hour or day over the attempts of one bucket: derived, safe to make again.

    Attempts that retention removed are in rows of their own, marked `pruned`, which are never made again;
    add both up.
    """

    bucket = models.CharField(
        max_length=64, default=_unnamed, editable=False, help_text="Digest of all that the sums are by."
    )
    pruned = models.BooleanField(default=False, help_text="Of attempts that retention removed since.")
    key = models.CharField(max_length=120)
    key_id = models.CharField(max_length=40)
    team = models.CharField(max_length=120, blank=True)
    end_user = models.CharField(max_length=256, blank=True)
    model = models.CharField(max_length=200)
    deployment = models.CharField(max_length=300, blank=True)
    provider = models.CharField(max_length=120, blank=True)
    task = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=12, choices=Attempt.Status.choices)
    requests = models.BigIntegerField(default=0)
    retries = models.BigIntegerField(
        default=0, db_default=0, help_text="Of these, second and third attempts of a request."
    )
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0, help_text="Attempts whose tokens no provider counted.")
    unpriced = models.BigIntegerField(default=0, help_text="Attempts at a deployment without a price.")
    latency_ms = models.BigIntegerField(
        default=0, help_text="Sum over the requests; divide by them for the mean."
    )
    ttft_ms = models.BigIntegerField(default=0, help_text="Sum; divide by ttft_count for the mean.")
    ttft_count = models.BigIntegerField(default=0, help_text="Attempts whose first token was timed.")

    class Meta:
        abstract = True


class HourlyUsage(Sums):
    """Sums of one hour by key, team, end user, model, deployment, provider, task and status."""

    hour = models.DateTimeField()

    class Meta:
        ordering = ["-hour"]
        verbose_name_plural = "hourly usage"
        # By a digest: so many names do not fit into an entry of an index when they are long.
        constraints = [models.UniqueConstraint(fields=["hour", "bucket", "pruned"], name="hourly_usage_once")]
        indexes = [models.Index(fields=["key_id", "hour"], name="hourly_usage_key")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.model} {self.status}: {self.requests}"


class DailyUsage(Sums):
    """The hours of one day (UTC) added up; kept for ever."""

    day = models.DateField()

    class Meta:
        ordering = ["-day"]
        verbose_name_plural = "daily usage"
        constraints = [models.UniqueConstraint(fields=["day", "bucket", "pruned"], name="daily_usage_once")]
        indexes = [models.Index(fields=["key_id", "day"], name="daily_usage_key")]

    def __str__(self) -> str:
        return f"{self.day} {self.model} {self.status}: {self.requests}"


class DirtyHour(models.Model):
    """An hour whose attempts changed since its roll-up; written in the ledger's own transaction."""

    hour = models.DateTimeField(unique=True)
    marked = models.BigIntegerField(
        default=1, help_text="Grows with every mark, so that a mark during a roll-up stays."
    )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"


class DroppedHour(models.Model):
    """An hour whose attempts went with their partition, while its sums are not marked as pruned yet.

    That is done when a late attempt of the hour makes it necessary, or when the hour itself is removed.
    """

    hour = models.DateTimeField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"


class Rerating(models.Model):
    """One run of `rerate`: who rated which attempts anew, and what that came to. Costs in nano-dollars."""

    who = models.CharField(max_length=150)
    model = models.CharField(max_length=200)
    since = models.DateTimeField()
    until = models.DateTimeField()
    open_ended = models.BooleanField(default=False, help_text="No end was given: until its own start.")
    config_version = models.BigIntegerField(help_text="Of the prices; a run goes on only under the same.")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    reached = models.UUIDField(null=True, help_text="The last attempt that was looked at.")
    rows = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    unresolved = models.BigIntegerField(default=0, help_text="Left alone: of no deployment that is known.")
    cost_before = models.BigIntegerField(default=0)
    cost_after = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.model} from {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class RatedBefore(models.Model):
    """What an attempt cost before a rerating changed it."""

    rerating = models.ForeignKey(Rerating, on_delete=models.CASCADE, related_name="changes")
    attempt_id = models.UUIDField()
    cost_nano = models.BigIntegerField()
    price_id = models.BigIntegerField(null=True)

    class Meta:
        verbose_name_plural = "rated before"
        constraints = [models.UniqueConstraint(fields=["attempt_id", "rerating"], name="rated_before_once")]

    def __str__(self) -> str:
        return f"{self.attempt_id}: {self.cost_nano}"


class LimitAlert(models.Model):
    """A limit's threshold that was crossed, once for each window and amount; and who has been told of it.

    `told_at` without a channel's time: a higher threshold was told in its place, or there is nobody to tell.
    """

    limit = models.ForeignKey(Limit, on_delete=models.CASCADE, related_name="alert_rows")
    window_start = models.DateTimeField(help_text="From when it is counted: the window's begin, or a reset.")
    percent = models.PositiveSmallIntegerField("threshold")
    used = models.BigIntegerField(help_text="When it was noticed; of cost in nano-dollars.")
    amount = models.BigIntegerField(help_text="Of the limit at that time; of cost in nano-dollars.")
    noticed_at = models.DateTimeField(db_index=True)
    told_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    posted_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, help_text="None: nothing is left to be told.")
    problem = models.CharField(max_length=500, blank=True, help_text="Why somebody could not be told yet.")

    class Meta:
        ordering = ["-noticed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["limit", "window_start", "percent", "amount"], name="limit_alert_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=models.Q(next_try_at__isnull=False),
                name="limit_alert_untold",
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.limit}"
