"""For `python -m gunicorn -c gateway/gunicorn_conf.py gateway.asgi:application`, which `serve` runs."""

import multiprocessing
import os
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

from django.conf import settings

from gateway.lifeline import die_with

bind = f"[{settings.HOST}]:{settings.PORT}" if ":" in settings.HOST else f"{settings.HOST}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = "gateway.gunicorn_worker.DrainingWorker"
asgi_loop = "uvloop"
asgi_lifespan = "on"
asgi_disconnect_grace_period = 0  # a client that left is a cancelled request at once
preload_app = True  # imported once, shared by the workers, and a new worker is there at once
control_socket_disable = True
keepalive = 75
# how long the server waits for more of a body; who sends a form hears of it before
timeout = max(120, int(settings.UPLOAD_IDLE_SECONDS) + 10)
graceful_timeout = settings.GRACEFUL_TIMEOUT
accesslog = None
errorlog = "-"
loglevel = settings.LOG_LEVEL.lower()
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  names are random there


# The console's own files, served by whitenoise, which knows no asynchronous way; they are small.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")


def when_ready(server: Any) -> None:
    """Ctrl-C reaches the whole group: the first one drains, as SIGTERM does; the next ones end at once.

    Under `serve` the supervisor alone decides: it may have been told to ignore it.
    """
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    orders = iter([signal.SIGTERM])

    def interrupt(signum: int, frame: FrameType | None) -> None:
        server.signal(next(orders, signal.SIGINT), frame)

    signal.signal(signal.SIGINT, interrupt)


def post_fork(server: Any, worker: Any) -> None:
    """A worker outlives its arbiter by nothing, however that ends."""
    die_with(worker.ppid)


def post_worker_init(worker: Any) -> None:
    """Only the arbiter hears Ctrl-C, and tells the workers."""
    worker.loop.remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
