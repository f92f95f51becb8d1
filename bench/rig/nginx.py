"""nginx as a plain proxy in a folder of its own: one worker, keep-alive both ways, no logs."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.gateway_process import free_port
from tests.upstream import die_with_parent

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 600s; keepalive_requests 100000000; tcp_nodelay on;
  client_max_body_size 32m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream provider {{
    server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{whole} backlog=1024; location / {{ proxy_pass http://provider; }} }}
  server {{
    listen 127.0.0.1:{streams} backlog=1024;
    location / {{ proxy_pass http://provider; proxy_buffering off; }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx: its ports for whole answers and (unbuffered) for streams, and its process group."""

    whole: int
    streams: int
    group: int
    version: str


def binary() -> str | None:
    """Where nginx is; as root on Debian it is installed when it is missing."""
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("nginx", path=paths)
    if found is None and os.getuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light"]
        # The package would start its server: 101 is how a policy says no.
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            subprocess.run(command, check=False, capture_output=True)
        finally:
            if ours:
                policy.unlink()
        found = shutil.which("nginx", path=paths)
    return found


@contextmanager
def nginx(program: str, upstream: int) -> Iterator[Nginx]:
    """nginx in front of the provider on this port."""
    folder = Path(tempfile.mkdtemp(prefix="switchyard-nginx-"))
    whole, streams = free_port(), free_port()
    user = "user root;" if os.getuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(folder=folder, upstream=upstream, whole=whole, streams=streams, user=user)
    )
    command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=die_with_parent)
    try:
        _wait_for(whole, folder / "error.log")
        told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
        yield Nginx(whole, streams, process.pid, told.strip().rpartition("/")[2])
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
