"""What one worker holds while it serves: configuration, keys, counters, connections and the journal."""

import asyncio
import time
from collections.abc import Collection, Mapping, Set
from typing import Literal

import structlog
from django.conf import settings

from gateway.calibration import Calibration
from gateway.completions import Completions
from gateway.control import Control
from gateway.draining import Drains
from gateway.following import Following
from gateway.lines import Lines
from gateway.metrics import Books, Metrics
from gateway.seeding import Seeding
from gateway.tallies import Tallies
from keys.limits import Rule, allowances
from providers import snapshot
from providers.copies import copies
from providers.news import Ejected, Event, Recovered, Rested
from providers.router import Order, Router
from providers.routing import NO_ALLOWANCES, NO_ONE_PASSED, Passed, Strategy
from providers.state import State
from providers.state.memory import MemoryState
from providers.state.redis import RedisState
from providers.state.sharing import Sharing
from providers.state.wire import address_of
from providers.transport import Transport
from usage.journal import Journal
from usage.shipper import Shipper

log = structlog.get_logger(__name__)


class Gateway:
    """Made once per worker; `start` and `stop` bracket its life on one event loop.

    `tallies`: where its numbers are counted with those of the other workers; none: for itself.
    """

    def __init__(self, tallies: Tallies | None = None) -> None:
        full: Literal["refuse", "serve"] = "serve" if settings.JOURNAL_FULL == "serve" else "refuse"
        self.snapshot = snapshot.EMPTY
        self._serving: Set[int] = frozenset()
        self.router = Router()
        self.router.health.listeners.append(self._note_health)
        self.following = Following(self._swap, copies())
        self.keys = self.following.keys
        self.transport = Transport(connect_timeout=settings.CONNECT_TIMEOUT)
        self.journal = Journal(settings.DATA_DIR / "journal", full=full)
        self.shipper = Shipper(self.journal)
        self.seeding = Seeding(self.shipper, self.following.reach, shared=bool(settings.REDIS_URL))
        self.state: State = self._make_state()
        self.seeding.attach(self.state)
        self.sharing = self._share_health()
        self.calibration = Calibration()
        self.completions = Completions()
        self.jwt_secret: str = settings.OPENWEBUI_JWT_SECRET
        self.metrics = Metrics(tallies)
        self.books = Books(self.journal, self.metrics)
        self.max_body_bytes = settings.MAX_BODY_MB * 2**20
        self.max_upload_bytes = settings.MAX_UPLOAD_MB * 2**20
        self.upload_idle_seconds: float = settings.UPLOAD_IDLE_SECONDS
        self.max_answer_bytes = settings.MAX_ANSWER_MB * 2**20
        self.most_kept = settings.EXCHANGE_MAX_KB * 1024
        self.lines = Lines()
        # (deployment id, surface): what deployments turned out not to serve, under this configuration
        self.unspoken: set[tuple[int, str]] = set()
        self.drains = Drains(seconds=settings.DRAIN_SECONDS, most=settings.DRAIN_MOST)
        self.control = Control(settings.DATA_DIR)

    async def start(self) -> None:
        """Read configuration and keys, or begin with the copy of them while the database is away."""
        await self.control.start()  # first: who waits for all workers to know something waits for this one
        await self.following.start()
        self.shipper.start()
        await self.state.start()
        if self.sharing is not None:
            await self.sharing.start()

    async def stop(self) -> None:
        """Ship what is settled and let go of everything."""
        await self.following.stop()
        await self.drains.stop()
        await self.control.stop()
        await self.state.stop()
        if self.sharing is not None:
            self.sharing.stop()
        self.seeding.close()
        self.transport.close()
        await asyncio.to_thread(self.shipper.stop, 10.0)
        self.journal.close()

    def _make_state(self) -> State:
        if not settings.REDIS_URL:
            return MemoryState()
        return RedisState(
            address_of(settings.REDIS_URL),
            workers=settings.WEB_CONCURRENCY,
            healed=self.seeding.correct_all,
            behind=lambda: int(self.shipper.lag_seconds * 1000),
        )

    def _share_health(self) -> Sharing | None:
        if not settings.REDIS_URL:
            return None
        return Sharing(address_of(settings.REDIS_URL), self.router.health)

    @property
    def ready(self) -> bool:
        """Whether the configuration has been read."""
        return self.snapshot is not snapshot.EMPTY

    def order(
        self,
        model: snapshot.ServedModel,
        tried: Collection[int] = (),
        tags: Collection[str] = (),
        left_out: Mapping[int, Passed] = NO_ONE_PASSED,
    ) -> Order:
        """Whom to ask for this model, after those that were tried already."""
        allowed = NO_ALLOWANCES
        if model.strategy is Strategy.USAGE:
            allowed = allowances(self.keys.standing.deployments, model.targets)
        return self.router.order(model, tried, allowed, tags, _both(self._gone(model), left_out))

    def _gone(self, model: snapshot.ServedModel) -> Mapping[int, Passed]:
        """Deployments of a model of an older snapshot that take nothing new since."""
        if not model.name or self.snapshot.models.get(model.name) is model:
            return NO_ONE_PASSED  # without a name it is a provider that is asked for no model
        return dict.fromkeys(model.targets.keys() - self._serving, Passed.GONE)

    def note_shadow(self, rule: Rule, key: str) -> None:
        """A limit in shadow mode would have refused this request."""
        log.debug("limit_would_refuse", limit=rule.id, owner=rule.owner, key=key)
        self.metrics.shadow(rule.id)

    def _note_health(self, event: Event) -> None:
        """For whoever reads the log; each worker tells of what it found out itself."""
        match event:
            case Ejected():
                seconds = round(event.until - event.at, 1)
                log.warning("deployment_ejected", deployment=self._name_of(event.id), seconds=seconds)
            case Recovered():
                log.info("deployment_recovered", deployment=self._name_of(event.id))
            case Rested():
                seconds = round(event.until - time.monotonic(), 1)
                log.info("deployment_rests", deployment=self._name_of(event.id), seconds=seconds)

    def _name_of(self, id: int) -> str:
        targets = (model.targets.get(id) for model in self.snapshot.models.values())
        return next((target.name for target in targets if target is not None), str(id))

    def _swap(self, newer: snapshot.Snapshot) -> None:
        self.snapshot = newer
        self._serving = newer.ejections().keys()
        self.unspoken.clear()
        self.router.follow(newer)
        self.books.in_flight.forget_idle()


def _both(some: Mapping[int, Passed], others: Mapping[int, Passed]) -> Mapping[int, Passed]:
    return {**some, **others} if some and others else some or others
