"""`python -m ktrdr.api`: start a backend, or say in one sentence why not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from pydantic import ValidationError

from ktrdr.api.app import create_app
from ktrdr.api.bootstrap import Backend, prepare_home
from ktrdr.api.guard import LOOPBACK
from ktrdr.domain.errors import KtrdrError, RefusedToStart
from ktrdr.event_loop import run
from ktrdr.settings import Settings

log = logging.getLogger("ktrdr")
# For requests in flight; the sessions' own shutdown checkpoints come after that.
GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Ends what would never end by itself, a followed operation, before it waits for its connections."""

    def __init__(
        self, config: uvicorn.Config, closing: asyncio.Event, has_to_end: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._closing = closing
        self._has_to_end = has_to_end
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; True ends the server as a signal does."""
        if self._has_to_end():
            self._closing.set()
            return True
        return await super().on_tick(counter)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for library in ("httpx", "httpx2"):  # a line for every look at every job
        logging.getLogger(library).setLevel(logging.WARNING)
    if os.getpid() == 1:  # in a container the kernel ignores a signal that nobody handles
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = Settings()
        check_exposure(settings)
        prepare_home(settings)
        with listen(settings) as listener:
            return run(serve(settings, listener))
    except ValidationError as invalid:
        names = ", ".join(
            f"KTRDR_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in invalid.errors()
        )
        print(f"ktrdr refuses to start: {names}", file=sys.stderr)
        return 2
    except KtrdrError as refused:
        print(f"ktrdr refuses to start: {refused.message}", file=sys.stderr)
        return 2


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond loopback without a token, or the word that only loopback leads here."""
    if settings.host not in LOOPBACK and settings.token is None and not settings.published_on_loopback:
        raise RefusedToStart(
            f"KTRDR_HOST={settings.host} is reachable from other machines. Set KTRDR_TOKEN, "
            "or stay on 127.0.0.1. In a container whose port is published on the host's loopback "
            "only, KTRDR_PUBLISHED_ON_LOOPBACK=true says so."
        )


def listen(settings: Settings) -> socket.socket:
    """Bind first: a port in use is found before the database is touched."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise RefusedToStart(
            f"{settings.host}:{settings.port} can't be listened on ({error.strerror}). "
            "Stop what uses it, or choose another with --port."
        ) from error
    return listener


async def serve(settings: Settings, listener: socket.socket) -> int:
    """Returns the exit status: 0, or 1 when it ended because it had to."""
    backend = Backend(settings)
    await backend.open()
    config = uvicorn.Config(
        create_app(backend),
        http="h11",
        lifespan="on",
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    log.info("ktrdr serves http://%s:%s (home %s)", host, port, settings.home)
    await Server(config, backend.closing, lambda: backend.has_to_end).serve([listener])
    return 1 if backend.has_to_end else 0


if __name__ == "__main__":
    sys.exit(main())
