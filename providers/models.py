"""Where requests go: providers, the models clients see, and the deployments behind them."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from simple_history.models import HistoricalRecords

from providers import secrets
from providers.aliases import LONGEST_NAME, problems_of
from providers.changes import ConfigVersion, WatchedQuerySet, noted, written
from providers.connection import is_header
from providers.destinations import check_base_url, is_confirmed
from providers.dialects import KINDS, OPTIONAL
from providers.fallbacks import loop_through
from providers.health import FAILURES_IN_A_ROW
from providers.patterns import is_pattern
from providers.prices import (
    EACH_FIELDS,
    PLACES,
    TOKEN_FIELDS,
    BadPrice,
    Charges,
    PriceList,
    plain_text,
    read_tiers,
    tiers_as_text,
)
from providers.retries import MOST_ATTEMPTS, RETRIED_KINDS, problem_of_retries
from providers.routing import STRATEGIES, Strategy
from providers.tags import problem_of_tags

__all__ = ["ConfigVersion", "Deployment", "Fallback", "Model", "Price", "Provider", "Sourced"]

NAME = RegexValidator(r"^\S(.*\S)?$", "A name has no space at its ends.")
REFERENCE = "os.environ/"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sourced(models.Model):
    """A row that a config file may own: what the file last said is kept, so that edits since show."""

    class Source(models.TextChoices):
        ADMIN = "admin", "admin"
        FILE = "file", "config file"
        COMMAND = "command", "command"
        ENVIRONMENT = "environment", "environment"

    source = models.CharField(max_length=12, choices=Source.choices, default=Source.ADMIN, editable=False)
    imported = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    # a manager of each model that inherits it
    objects = models.Manager.from_queryset(WatchedQuerySet)()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Django tells of a save once it is committed: what workers watch must be written with the row."""
        with transaction.atomic(savepoint=False):
            super().save(*args, **options)


class Provider(Sourced):
    """An account at a service that answers: address, wire dialect and credential."""

    class Disconnect(models.TextChoices):
        ESTIMATE = "estimate", "estimate what was delivered"
        DRAIN = "drain", "drain: read on to the end"
        NOT_BILLED = "not_billed", "not billed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120, unique=True, validators=[NAME])
    kind = models.CharField(
        max_length=40,
        choices=[(kind, kind) for kind in KINDS],
        default="openai",
        help_text="Who it is; decides the wire dialect.",
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        help_text="Such as https://api.openai.com/v1, or os.environ/NAME to read it from the environment.",
    )
    confirmed_host = models.CharField(
        max_length=300,
        blank=True,
        editable=False,
        help_text="The private or loopback host[:port] that an operator allowed for this provider.",
    )
    secret_sealed = models.TextField(blank=True, editable=False)
    secret_reference = models.CharField(
        "API key from environment",
        max_length=120,
        blank=True,
        help_text="Name of an environment variable that holds the API key, such as NEBIUS_API_KEY.",
    )
    extra_headers = models.JSONField(
        default=dict, blank=True, help_text="Sent with every request, as a JSON object."
    )
    also_speaks = models.JSONField(
        null=True,
        blank=True,
        default=None,
        help_text="Endpoints that it serves itself beside chat completions; requests for others are "
        "translated. Unknown: as its kind says; a server that may serve responses is asked once.",
    )
    disconnect_policy = models.CharField(
        "when a client leaves a stream",
        max_length=12,
        choices=Disconnect.choices,
        default=Disconnect.ESTIMATE,
        help_text="What this provider bills then. Estimate: it stops and bills what it made until then; the "
        "tokens delivered are recorded as an estimate. Drain: it bills the whole answer, so the gateway "
        "reads on to its end and records the exact usage; the request counts as running until then. "
        "Not billed: the tokens delivered are recorded and cost nothing.",
    )
    enabled = models.BooleanField(default=True)
    notes = models.TextField(blank=True)
    history: Any = HistoricalRecords(excluded_fields=["secret_sealed"])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def _seal_place(self) -> str:
        return f"providers_provider/{self.pk}/secret"

    def set_secret(self, value: str) -> None:
        """Keep the API key, encrypted and bound to this row; empty forgets it. Not saved yet."""
        self.secret_sealed = secrets.seal(value, self._seal_place) if value else ""

    def secret(self) -> str:
        """The stored API key, or "". Raises `secrets.Unreadable` on a wrong key or a moved row."""
        return secrets.unseal(self.secret_sealed, self._seal_place) if self.secret_sealed else ""

    def clean(self) -> None:
        super().clean()
        headers = self.extra_headers
        if not isinstance(headers, dict) or not all(is_header((n, v)) for n, v in headers.items()):
            raise ValidationError(
                {"extra_headers": 'This is a JSON object of text, such as {"x-title": "Us"}.'}
            )
        if self.also_speaks is not None and (
            not isinstance(self.also_speaks, list) or not set(map(str, self.also_speaks)) <= set(OPTIONAL)
        ):
            raise ValidationError({"also_speaks": f"This is a list of: {', '.join(OPTIONAL)}."})
        if self.secret_reference and not secrets.may_refer_to(self.secret_reference):
            raise ValidationError(
                {"secret_reference": "This variable is not among SECRET_REFERENCES, so it cannot be used."}
            )
        if self.base_url.startswith(REFERENCE):
            if not secrets.may_refer_to(self.base_url.removeprefix(REFERENCE)):
                raise ValidationError({"base_url": "This variable is not among SECRET_REFERENCES."})
        elif problem := check_base_url(self.base_url, self.confirmed_host):
            raise ValidationError({"base_url": problem})

    def is_confirmed(self) -> bool:
        return is_confirmed(self.base_url, self.confirmed_host)


def _positive() -> list[MinValueValidator]:
    return [MinValueValidator(0.001)]


def _timeout(help_text: str) -> "models.FloatField[Any, Any]":
    return models.FloatField(null=True, blank=True, validators=_positive(), help_text=help_text)


class Model(Sourced):
    """A name that clients ask for."""

    class Kind(models.TextChoices):
        CHAT = "chat", "chat"
        COMPLETION = "completion", "completion"
        EMBEDDING = "embedding", "embedding"
        RESPONSES = "responses", "responses"
        IMAGE = "image_generation", "image generation"
        SPEECH = "audio_speech", "speech"
        TRANSCRIPTION = "audio_transcription", "transcription"
        MODERATION = "moderation", "moderation"
        RERANK = "rerank", "rerank"

    name = models.CharField(max_length=LONGEST_NAME, unique=True, validators=[NAME])
    kind = models.CharField(max_length=24, choices=Kind.choices, default=Kind.CHAT)
    hidden = models.BooleanField(default=False, help_text="Served, but not listed by /v1/models.")
    aliases = models.JSONField(
        default=list, blank=True, help_text="Other names that clients may ask for, one a line."
    )
    hidden_aliases = models.JSONField(
        default=list, blank=True, help_text="The same, but not listed by /v1/models."
    )
    strategy = models.CharField(
        max_length=12,
        choices=[(each.value, label) for each, label in STRATEGIES.items()],
        default=Strategy.WEIGHTED.value,
        help_text="Which deployment of the first priority is asked first. Where several are as good, and "
        "for weighted always, weights decide.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        "most attempts",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
        help_text=f"How many deployments one request may be tried on. Empty: {MOST_ATTEMPTS}.",
    )
    retries_by_error = models.JSONField(
        default=dict,
        blank=True,
        help_text='Retries after errors of a kind, where they differ, such as {"timeout": 0}: '
        f"{', '.join(RETRIED_KINDS)}.",
    )
    deadline = models.FloatField(
        null=True,
        blank=True,
        validators=_positive(),
        help_text="Seconds for a request with all its attempts: until the whole answer, or the first event "
        "of a stream. Empty: as DEADLINE says.",
    )
    connect_timeout = _timeout("Seconds to connect.")
    timeout = _timeout("Seconds that one attempt may take for a whole answer.")
    stream_timeout = _timeout("Seconds until the first event of a stream.")
    idle_timeout = _timeout("Seconds between two events of a stream.")
    max_queue = models.PositiveIntegerField(
        "longest queue",
        null=True,
        blank=True,
        help_text="How many requests may wait in each worker while all deployments are full; 0: none. "
        "Empty: as QUEUE_LENGTH says.",
    )
    eject_after = models.PositiveSmallIntegerField(
        "put aside after failures",
        null=True,
        blank=True,
        help_text="So many in a row put a deployment aside for a while; 0: never. "
        f"Empty: {FAILURES_IN_A_ROW}.",
    )
    eject_seconds = _timeout("Seconds that it is put aside at first, doubled each time.")
    max_input_tokens = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The most one answer may have; reserved when a client names no limit.",
    )
    info = models.JSONField(default=dict, blank=True, help_text="Notes about the model, as a JSON object.")
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        lists = {"aliases": self.aliases, "hidden_aliases": self.hidden_aliases}
        if problems := problems_of(self.name, lists, _names_of_others(self.pk)):
            raise ValidationError(problems)
        if problem := problem_of_retries(self.retries_by_error):
            raise ValidationError({"retries_by_error": problem})
        if is_pattern(self.name):
            self._clean_wildcard()

    def _clean_wildcard(self) -> None:
        for field in ("aliases", "hidden_aliases"):
            if getattr(self, field):
                text = "A wildcard model has no other names: clients ask for the names that fit it."
                raise ValidationError({field: text})
        asking = self.pk and Fallback.objects.filter(to=self).select_related("model").first()
        if asking:
            text = f"It is asked instead of '{asking.model}', so it cannot become a wildcard."
            raise ValidationError({"name": text})


class Fallback(Sourced):
    """Another model that is asked when no deployment of a model could answer; its rights and limits hold.

    Those of one kind of error are asked in the order of their positions.
    """

    class On(models.TextChoices):
        ANY = "any", "any other error"
        CONTEXT_WINDOW = "context_window", "prompt too long"
        CONTENT_POLICY = "content_policy", "content refused"

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="fallbacks")
    to = models.ForeignKey(
        Model, verbose_name="ask instead", on_delete=models.CASCADE, related_name="fallback_of"
    )
    on = models.CharField("after", max_length=16, choices=On.choices, default=On.ANY)
    position = models.PositiveSmallIntegerField(default=0, help_text="Lower is asked first.")
    history: Any = HistoricalRecords()
    checked_with_siblings = False  # a page of all fallbacks of a model looks for loops itself

    class Meta:
        ordering = ["model__name", "on", "position", "pk"]
        constraints = [models.UniqueConstraint(fields=["model", "to", "on"], name="fallback_once")]

    def __str__(self) -> str:
        return f"{self.model} to {self.to} after {self.get_on_display()}"

    def clean(self) -> None:
        super().clean()
        if self.checked_with_siblings or not (self.model_id and self.to_id):
            return  # the form says what is missing
        others = Fallback.objects.exclude(pk=self.pk).values_list("model__name", "to__name")
        if loop := loop_through([*others, (self.model.name, self.to.name)], self.model.name):
            raise ValidationError({"to": f"This would lead back to itself: {' to '.join(loop)}."})
        if is_pattern(self.to.name):
            raise ValidationError({"to": "A wildcard model is no single model to ask instead."})


def _names_of_others(pk: int | None) -> dict[str, str]:
    """Every name and alias of the other models, and which model it means."""
    found: dict[str, str] = {}
    rows = Model.objects.all() if pk is None else Model.objects.exclude(pk=pk)
    for name, *lists in rows.values_list("name", "aliases", "hidden_aliases"):
        found |= {alias: name for names in lists for alias in names} | {name: name}
    return found


class Deployment(Sourced):
    """One place where a model runs: a provider, its own name for the model, and its share."""

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        DRAINING = "draining", "draining"
        DISABLED = "disabled", "disabled"

    name = models.CharField(max_length=300, unique=True, validators=[NAME])
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="deployments")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="deployments")
    upstream_model = models.CharField(max_length=300, help_text="The provider's own name for the model.")
    weight = models.PositiveIntegerField(default=1, help_text="Share of requests; 0 is standby.")
    priority = models.IntegerField(default=0, help_text="Lower is asked first.")
    max_parallel_requests = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    queue_seconds = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="How long a request may wait for a free place here when all deployments are full. "
        "Empty: as QUEUE_SECONDS says.",
    )
    tags = models.JSONField(
        default=list,
        blank=True,
        help_text="Requests with one of these tags are sent here, and no others; the tag default: also "
        "those that have none, or none that fits.",
    )
    connect_timeout = _timeout("Seconds to connect.")
    timeout = _timeout("Seconds that one attempt may take for a whole answer.")
    stream_timeout = _timeout("Seconds until the first event of a stream.")
    idle_timeout = _timeout("Seconds between two events of a stream.")
    eject_seconds = _timeout("Seconds that it is put aside at first when it keeps failing.")
    default_params = models.JSONField(
        default=dict, blank=True, help_text="Sent unless the client says otherwise."
    )
    drop_params = models.BooleanField(
        default=False, help_text="Leave out parameters that the provider does not take."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["model__name", "priority", "name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if not isinstance(self.default_params, dict):
            raise ValidationError({"default_params": 'This is a JSON object, such as {"temperature": 0.2}.'})
        forbidden = sorted({"model", "messages", "stream"} & self.default_params.keys())
        if forbidden:
            raise ValidationError({"default_params": f"{', '.join(forbidden)} cannot have a default."})
        if problem := problem_of_tags(self.tags):
            raise ValidationError({"tags": problem})
        if is_pattern(self.upstream_model) and not is_pattern(self._model_name()):
            text = "A star stands for what the star of a wildcard model does; this model's name has none."
            raise ValidationError({"upstream_model": text})

    def _model_name(self) -> str:
        """Of a row whose model is still missing, or is being made on the same page, too."""
        model = Deployment.model.is_cached(self) or self.model_id
        return self.model.name if model else "*"


def _dollars(verbose_name: str, **options: Any) -> "models.DecimalField[Any, Any]":
    # 15 digits in all: what SQLite, which keeps them as floats, gives back exactly.
    return models.DecimalField(
        verbose_name,
        max_digits=PLACES + 6,
        decimal_places=PLACES,
        validators=[MinValueValidator(0)],
        **options,
    )


def _part(verbose_name: str, whole: str) -> "models.DecimalField[Any, Any]":
    return _dollars(verbose_name, null=True, blank=True, help_text=f"Empty: charged as {whole}.")


class Price(Sourced):
    """What a provider asks from a moment on: of one deployment, or of its own name for a model everywhere.

    US dollars: of tokens per million, and of each request, image, second heard and character spoken.
    """

    class Source(models.TextChoices):
        ADMIN = "admin", "admin"
        FILE = "file", "config file"
        SYNC = "sync", "genai-prices"
        COMMAND = "command", "command"

    source = models.CharField(max_length=12, choices=Source.choices, default=Source.ADMIN, editable=False)
    deployment = models.ForeignKey(
        Deployment,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="prices",
        help_text="Only this one; it wins over a price for all. Empty: all of the kind and model below.",
    )
    kind = models.CharField(
        "provider kind",
        max_length=40,
        blank=True,
        choices=[(kind, kind) for kind in KINDS],
        help_text="For all deployments at providers of this kind.",
    )
    upstream_model = models.CharField(
        max_length=300, blank=True, help_text="The provider's own name for the model."
    )
    effective_from = models.DateTimeField(
        default=timezone.now, help_text="Attempts that started then or later are rated with it."
    )
    input = _dollars("input, $/M tokens", default=Decimal(0))
    output = _dollars("output, $/M tokens", default=Decimal(0))
    cached_input = _part("cached input, $/M tokens", "input")
    cache_write = _part("cache write, $/M tokens", "input")
    reasoning = _part("reasoning, $/M tokens", "output")
    audio_input = _part("audio input, $/M tokens", "input")
    audio_output = _part("audio output, $/M tokens", "output")
    per_request = _dollars("per request, $", default=Decimal(0))
    per_image = _dollars("per image, $", default=Decimal(0))
    per_second = _dollars(
        "per second heard, $",
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Of sound that is written down or translated.",
    )
    per_character = _dollars(
        "per character spoken, $",
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Of the text that speech is made of.",
    )
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text='For long prompts, such as [{"above": 200000, "input": "2.5", "output": "15"}]: the whole '
        "request is charged so; what a tier leaves out is as above.",
    )
    notes = models.TextField(blank=True)
    history: Any = HistoricalRecords()

    class Meta:
        ordering = ["-effective_from", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(deployment__isnull=False, kind="", upstream_model="")
                | (Q(deployment__isnull=True) & ~Q(kind="") & ~Q(upstream_model="")),
                name="price_of_one_thing",
                violation_error_message="A price is either of one deployment, or of a kind and its model.",
            ),
            models.UniqueConstraint(
                fields=["deployment", "effective_from"],
                condition=Q(deployment__isnull=False),
                name="price_of_deployment_once",
            ),
            models.UniqueConstraint(
                fields=["kind", "upstream_model", "effective_from"],
                condition=Q(deployment__isnull=True),
                name="price_of_model_once",
            ),
        ]
        indexes = [models.Index(fields=["upstream_model", "kind"], name="price_model")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.brief}"

    @property
    def subject(self) -> str:
        """What it is the price of."""
        return self.deployment.name if self.deployment else f"{self.kind}/{self.upstream_model}"

    @property
    def brief(self) -> str:
        """`$0.15 / $0.6`: a million tokens in and out."""
        return f"${plain_text(self.input)} / ${plain_text(self.output)}"

    def clean(self) -> None:
        super().clean()
        if self.deployment_id is not None:
            self.kind = self.upstream_model = ""
        try:
            self.tiers = tiers_as_text(read_tiers(self.tiers))
        except BadPrice as error:
            raise ValidationError({"tiers": f"{error}."}) from None

    def charges(self) -> Charges:
        amounts = {name: getattr(self, name) for name in (*TOKEN_FIELDS, *EACH_FIELDS)}
        return Charges(**amounts, tiers=read_tiers(self.tiers))

    def charge(self, charges: Charges) -> None:
        """Take over these amounts. Not saved yet."""
        for name in (*TOKEN_FIELDS, *EACH_FIELDS):
            setattr(self, name, getattr(charges, name))
        self.tiers = tiers_as_text(charges.tiers)

    def price_list(self) -> PriceList:
        """As whole numbers. Raises `BadPrice` on tiers that were written past `clean`."""
        return self.charges().price_list(self.pk, (self.effective_from - _EPOCH) // timedelta(milliseconds=1))


_CONFIGURATION = (Provider, Model, Deployment, Fallback, Price)


def _note(sender: type[models.Model], **_: Any) -> None:
    if sender in _CONFIGURATION:
        noted()


for _watched in _CONFIGURATION:
    models.signals.post_save.connect(_note, sender=_watched, dispatch_uid=f"noted-{_watched.__name__}-save")
    models.signals.post_delete.connect(
        _note, sender=_watched, dispatch_uid=f"noted-{_watched.__name__}-delete"
    )
written.connect(_note, dispatch_uid="noted-written")
