"""What is done to the database before serving: migrate, import the config file, know the master key."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor

from gateway import configuration
from keys import issuing
from keys.models import KeyChange
from providers.changes import change
from providers.litellm_config import ConfigError

log = logging.getLogger("switchyard.boot")
# "switch" as a number: the advisory lock that hosts of one database get it ready under.
LOCK = 0x737769746368
# Workers ask each second and need what a newer version migrates.
LONGEST_WAIT = 3.0


class DatabaseAway(Exception):
    """The database server does not answer; the message is its reason on one line."""


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _missing_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of preparations: on PostgreSQL among all hosts, on SQLite among all processes."""
    connection.ensure_connection()
    if connection.vendor != "postgresql":
        with open(settings.DATA_DIR / "boot.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with connection.cursor() as cursor:
        # The bounds of requests are not those of building an index.
        cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        _wait_for_lock(cursor)
    try:
        yield
    finally:
        connection.close()  # gives the lock and the settings back, also after a lost connection


def _wait_for_lock(cursor: CursorWrapper) -> None:
    waiting = False
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if cursor.fetchone() == (True,):
            return
        if not waiting:
            log.info("another host prepares the database; waiting for it")
            waiting = True
        time.sleep(0.5)


def _migrate() -> None:
    if missing := _missing_migrations():
        log.info("migrating the database: %d steps", missing)
        call_command("migrate", interactive=False, verbosity=0)
        # migrations may change rows, and send no signal: workers that run already read them anew
        with change():
            KeyChange.objects.create()


def _know_master_key() -> None:
    key, retired = issuing.ensure_master_key(settings.MASTER_KEY)
    for row in retired:
        log.warning("the master key of the environment changed: key %r is disabled", row.name)
    if key is not None and not key.enabled:
        log.warning("the master key of the environment is key %r, which an operator disabled", key.name)


def prepare(config: str) -> None:
    """Migrate, import `config` ("" for none), and make the master key a row, alone among all hosts.

    Raises `DatabaseAway`, or `CommandError` for what the operator must mend.
    """
    try:
        with _alone():
            _migrate()
            if config:
                log.info("%s", configuration.import_at_start(config))
            _know_master_key()
    except (OperationalError, InterfaceError) as error:
        if connection.vendor == "postgresql":
            raise DatabaseAway(_reason(error)) from None
        raise CommandError(
            f"the database {settings.DATABASES['default']['NAME']}: {_reason(error)}"
        ) from None
    except DatabaseError as error:
        raise CommandError(f"the database: {_reason(error)}") from None
    finally:
        connection.close()


def check_config(config: str) -> None:
    """Read the config file without the database; raises `CommandError` when it is broken."""
    try:
        if config:
            configuration.read_file(config)
    except ConfigError as error:
        raise CommandError(str(error)) from None


def prepare_when_back(config: str) -> None:
    """Try again until the database answers; what is wrong then is logged, and the gateway goes on."""
    wait = 1.0
    while True:
        time.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
        try:
            prepare(config)
        except DatabaseAway as away:
            log.warning("the database is still away: %s", away)
        except CommandError as error:
            log.error("the database is back, but: %s", error)
            return
        else:
            log.info("the database is back and up to date")
            return
