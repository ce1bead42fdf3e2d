"""The guard under httpx: connections to checked addresses only, each step within the deadline of its whole request."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import httpcore
from httpcore._backends.sync import SyncBackend

from pipeline.guard import Refusal, checked_addresses, listing

until: ContextVar[float] = ContextVar("until", default=math.inf)
"""The `time.monotonic()` at which the synchronous request of this thread has to be over."""


def _left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """The timeout of one step, cut to what is left of the whole request."""
    left = until.get() - time.monotonic()
    if left <= 0:
        raise error("the whole request took longer than it may")
    return timeout if math.isinf(left) else min(left, timeout if timeout is not None else left)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends by the request's deadline: a server that drips bytes resets no clock."""

    def __init__(self, inner: httpcore.NetworkStream):
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(SyncBackend):
    """Connects to checked addresses only."""

    def __init__(self, allow_hosts: Sequence[str]):
        self._allow = listing(allow_hosts)

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.NetworkStream:
        try:
            *others, last = checked_addresses(host, port, self._allow)
        except Refusal:
            raise
        except OSError as e:
            raise httpcore.ConnectError(str(e)) from e
        for address in others:
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _TimedStream(super().connect_tcp(address, port, left, *args, **kwargs))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        left = _left(timeout, httpcore.ConnectTimeout)
        return _TimedStream(super().connect_tcp(last, port, left, *args, **kwargs))

    def connect_unix_socket(self, path: str, *_args: Any, **_kwargs: Any) -> httpcore.NetworkStream:
        raise Refusal(f"{path} is no address of a web server")
