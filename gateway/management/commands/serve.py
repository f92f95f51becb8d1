"""`manage.py serve`: the whole gateway in one process group."""

import errno
import gc
import importlib
import logging
import socket
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from gunicorn.app import wsgiapp

from gateway import boot
from gateway.checks import TAG
from gateway.command import LineCommand
from gateway.supervisor import Helper, Supervisor

log = logging.getLogger("switchyard.serve")
PORT_PATIENCE = 1.0  # seconds
GUNICORN_CONF = Path(__file__).resolve().parents[2] / "gunicorn_conf.py"


def _check() -> None:
    """Warn of what is doubtful; raise `CommandError`, a line for each, for what must not be served with."""
    found = checks.run_checks(tags=[TAG])
    lines = [
        f"{message.msg} {message.hint or ''} ({message.id})" for message in found if message.is_serious()
    ]
    for message in found:
        if not message.is_serious():
            log.warning("%s %s (%s)", message.msg, message.hint, message.id)
    if lines:
        raise CommandError("\n".join(lines))


def _bind(listener: socket.socket, address: tuple[Any, ...]) -> None:
    """Bind; the port of a predecessor that was killed a moment ago is waited for."""
    deadline = time.monotonic() + PORT_PATIENCE
    while True:
        try:
            return listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _listener(host: str, port: int) -> socket.socket:
    """A socket bound to the address, or `CommandError` in one line."""
    if not 0 <= port < 65536:  # the resolver would take what is left of it above 65536
        raise CommandError(f"cannot listen on {host}:{port}: a port is a number from 0 to 65535")
    try:
        places = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # localhost is both; clients are told 127.0.0.1
        family, kind, protocol, _, address = min(places, key=lambda place: place[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(listener, address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"cannot listen on {host}:{port}: {reason}") from None
    return listener


def _run_gunicorn(listener: socket.socket) -> None:
    sys.argv = [
        "gunicorn",
        "-c",
        str(GUNICORN_CONF),
        "-b",
        f"fd://{listener.detach()}",
        "gateway.asgi:application",
    ]
    wsgiapp.run()


def _celery_folder() -> Path:
    """The folder of queue and schedule, freed of what a killed process left half-written."""
    folder: Path = settings.DATA_DIR / "celery"
    try:
        for name in ("queue", "processed", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write to SWITCHYARD_DATA: {error.filename}: {error.strerror}") from None
    for table in (folder / "control").glob("*.exchange"):
        if not table.read_bytes().rstrip().endswith(b"]"):
            table.unlink()
    return folder


def _import_celery() -> None:
    """Once for all its processes, when the gateway answers already: it would slow every start by half."""
    for name in ("gateway.celery", "celery.bin.celery", "celery.apps.worker", "celery.apps.beat"):
        importlib.import_module(name)
    gc.freeze()


def _run_celery(arguments: list[str]) -> None:
    app = importlib.import_module("gateway.celery").app
    app.conf.worker_enable_remote_control = False  # nobody asks, and its queues would pile up in files
    tempfile.tempdir = str(settings.DATA_DIR / "celery" / "processed")  # kombu moves each message there
    warnings.filterwarnings("ignore", message=".*superuser privileges")  # in a container that is how it is
    app.start(["--quiet", *arguments])


def _helpers(folder: Path) -> list[Helper]:
    worker = ["worker", "--pool=solo", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    beat = ["beat", "--loglevel=WARNING", f"--schedule={folder / 'schedule'}"]
    return [
        Helper("celery worker", partial(_run_celery, [*worker, "--without-heartbeat"])),
        Helper("celery beat", partial(_run_celery, beat)),
    ]


class Command(LineCommand):
    help = "Serve: migrate, import the config file, then run the gateway, the Celery worker and beat."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config", default=settings.CONFIG_FILE, help="config.yml to import before serving"
        )
        parser.add_argument(
            "--host", default=settings.HOST, help="address to listen on (default: %(default)s)"
        )
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help="default: %(default)s; 0 for a free one"
        )
        parser.add_argument("--only", choices=["gateway"], help="without the Celery worker and beat")

    def handle(self, *args: Any, **options: Any) -> None:
        _check()
        listener = _listener(options["host"], options["port"])
        folder = _celery_folder()
        helpers = [] if options["only"] else _helpers(folder)
        try:
            boot.prepare(options["config"])
        except boot.DatabaseAway as away:
            boot.check_config(options["config"])
            log.warning("the database is away (%s): serving what is known, migrating when it is back", away)
            helpers.insert(
                0, Helper("preparation", partial(boot.prepare_when_back, options["config"]), once=True)
            )
        except KeyboardInterrupt:
            raise CommandError("interrupted") from None
        connections.close_all()
        gateway = partial(_run_gunicorn, listener)
        before_helpers = gc.freeze if options["only"] else _import_celery
        sys.exit(Supervisor(listener, gateway, helpers, before_helpers, settings.GRACEFUL_TIMEOUT).run())
