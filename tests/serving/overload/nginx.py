"""A real nginx with kept-alive connections to a service, as deployments put one in front of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from training.client.service_process import free_port

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  large_client_header_buffers 8 64k;
  keepalive_requests 1000000;
  upstream service {{
    server 127.0.0.1:{service};
    keepalive 16;
    keepalive_requests 1000000;
  }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  server {{ listen 127.0.0.1:{whole}; location / {{ proxy_pass http://service; }} }}
  server {{
    listen 127.0.0.1:{passing};
    location / {{ proxy_pass http://service; proxy_request_buffering off; }}
  }}
}}
"""


class Nginx(NamedTuple):
    """Ports: behind `whole` a request is sent on when all of it is there, behind `passing` as it comes."""

    whole: int
    passing: int
    log: Path


def nginx_binary() -> str:
    """Where nginx is; where there must be one its absence is a failure, elsewhere a skip."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        text = "There is no nginx here: install it (apt-get install nginx)."
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


@contextlib.contextmanager
def nginx_before(service: int, folder: Path) -> Iterator[Nginx]:
    """nginx in front of the service on this port until the block ends."""
    binary = nginx_binary()
    folder.mkdir(parents=True)
    one = Nginx(free_port(), free_port(), folder / "error.log")
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, service=service, whole=one.whole, passing=one.passing))
    process = subprocess.Popen(
        [binary, "-c", str(config), "-p", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not listens(one.passing):
            assert process.poll() is None, one.log.read_text()
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
        yield one
    finally:
        process.terminate()
        process.wait(30)


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
