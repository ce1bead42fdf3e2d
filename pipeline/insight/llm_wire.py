"""The conversation with a language model's server: JSON, bounded requests in flight, retries with backoff.

No address guard: the server is the operator's own, mostly on loopback. Which failure becomes which error decides
whether an episode waits or is counted: a server that is away or full is waited for; one that breaks off or takes too
long may do so because of this very prompt, so that is counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.errors import AnswerError, ConfigError, PodsiftError, RefusedError, TransientError, WaitingError
from pipeline.insight.llm_http import BrokenOffError, Connections, TooLongError, UnreachableError
from pipeline.settings import LlmSettings
from pipeline.transport import redact

ATTEMPTS = 6
FIRST_PAUSE_S = 0.5
"""Doubles each time: six attempts are spread over 8 to 23 s. A full SGLang answers 503 without Retry-After."""
LONGEST_PAUSE_S = 30.0
TIMED_OUT = 2
"""So many attempts that run into the time limit are enough."""
LOOKS = 4
LOOK_S = 15.0
"""For what costs no generation: which model, ready or not, token ids."""
START = "start it with podsift llm serve, or correct llm.url (PODSIFT_LLM_URL)"
Pause = Callable[[float], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failure:
    error: PodsiftError
    retry_after_s: float | None = None


class Slots:
    """Bounds the prompts in flight; a list of prompts takes one slot each, in turn, so that it is never starved."""

    def __init__(self, count: int):
        self._count = count
        self._free = asyncio.Semaphore(count)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def take(self, wanted: int) -> AsyncIterator[None]:
        held = 0
        try:
            async with self._turn:
                while held < min(wanted, self._count):
                    await self._free.acquire()
                    held += 1
            yield
        finally:
            for _ in range(held):
                self._free.release()


class Wire:
    """Requests and JSON answers; use as an async context manager within one event loop."""

    def __init__(self, settings: LlmSettings, pause: Pause = asyncio.sleep):
        if settings.url is None:
            raise ConfigError("No language model is set", hint="set llm.url (PODSIFT_LLM_URL)")
        self.settings = settings
        self._root = settings.url.rstrip("/").removesuffix("/v1")
        self.shown = redact(self._root)
        """The address for messages, without a password."""
        self._pause = pause
        self._slots = Slots(settings.concurrency)
        self._looks = Slots(LOOKS)
        headers = {}
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self._connections = Connections(self._root, headers)

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connections.close()

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON (None when it is none) of something that costs no generation. Raises WaitingError."""
        try:
            async with asyncio.timeout(LOOK_S):
                status, _, raw = await self._send("GET", path, None)
        except (UnreachableError, BrokenOffError, TimeoutError) as e:
            raise self._away(e) from e
        if status in (429, 502, 503, 504):
            raise WaitingError(f"The language model at {self.shown} is starting or busy", why=_said(status, raw))
        self._check_key(status, raw)
        try:
            return status, json.loads(raw)
        except (ValueError, RecursionError):
            return status, None

    async def post(self, path: str, body: Mapping[str, Any], *, prompts: int = 1) -> Any:
        """The JSON answer to a request that carries so many prompts; 0 for one that generates nothing and so does not
        wait behind those that do. Raises what LanguageModel says."""
        data = json.dumps(body).encode()
        timeouts, broke_off, pause_s = 0, False, FIRST_PAUSE_S
        async with self._slots.take(prompts) if prompts else self._looks.take(1):
            for left in reversed(range(ATTEMPTS)):
                try:
                    async with asyncio.timeout(self.settings.timeout_s):
                        status, retry_after, raw = await self._send("POST", path, data)
                    if status == 200:
                        return _json(raw)
                    failure = _Failure(self._refusal(path, status, raw), retry_after)
                except UnreachableError as e:
                    failure = _Failure(self._broke_off(e) if broke_off else self._away(e))
                except TimeoutError:
                    timeouts += 1
                    failure = _Failure(self._too_slow())
                except BrokenOffError as e:
                    broke_off = True
                    failure = _Failure(self._broke_off(e))
                if not left or timeouts == TIMED_OUT or not isinstance(failure.error, TransientError):
                    raise failure.error
                await self._pause(min(LONGEST_PAUSE_S, failure.retry_after_s or pause_s * _jitter()))
                pause_s *= 2
        raise AssertionError("unreachable: the last attempt raises or returns")

    async def _send(self, method: str, path: str, data: bytes | None) -> tuple[int, float | None, bytes]:
        try:
            answer = await self._connections.request(method, path, data)
        except TooLongError as e:
            raise AnswerError(f"The answer of the language model at {self.shown} is endless") from e
        return answer.status, _seconds(answer.headers.get("retry-after")), answer.body

    def _refusal(self, path: str, status: int, raw: bytes) -> PodsiftError:
        why = _said(status, raw)
        if status in (429, 502, 503, 504):
            return WaitingError(f"The language model at {self.shown} is busy or starting", why=why, hint=START)
        if status >= 500 or status == 408:
            return TransientError(f"The language model at {self.shown} failed", why=why, hint="see the server's log")
        if status in (400, 413, 422):
            hint = "if the prompt is too long, serve the model with a larger context"
            return RefusedError(f"The language model at {self.shown} refused the request", why=why, hint=hint)
        self._check_key(status, raw)
        return ConfigError(
            f"{self.shown}{path} is not there", why=why, hint="llm.url must name an OpenAI-compatible server"
        )

    def _check_key(self, status: int, raw: bytes) -> None:
        if status in (401, 403):
            message = f"The language model at {self.shown} does not accept the key"
            raise ConfigError(message, why=_said(status, raw), hint="set llm.api_key (PODSIFT_LLM_API_KEY)")

    def _away(self, cause: BaseException) -> WaitingError:
        why = str(cause) or "no answer"
        return WaitingError(f"The language model at {self.shown} is away", why=why, hint=START)

    def _broke_off(self, cause: BaseException) -> TransientError:
        return TransientError(
            f"The language model at {self.shown} broke off", why=str(cause), hint="see the server's log"
        )

    def _too_slow(self) -> TransientError:
        why = f"no answer within {self.settings.timeout_s:g} s"
        hint = "raise llm.timeout_s or lower llm.concurrency"
        return TransientError(f"The language model at {self.shown} is too slow", why=why, hint=hint)


async def together(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of jobs run side by side; the first failure cancels the others, which frees the server of them."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise AnswerError("The server's answer is not JSON") from e


def _jitter() -> float:
    # Requests that were refused together should not come back together.
    return 0.5 + secrets.randbelow(1000) / 1000


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None


def _said(status: int, raw: bytes) -> str:
    """A server's own words: SGLang's `message`, `error.message` or `detail`, else the text; one bounded line."""
    text: Any = raw[:4000].decode("utf-8", "replace")
    try:
        body = json.loads(raw)
        error = body.get("error")
        text = (error.get("message") if isinstance(error, dict) else error) or body.get("message") or body["detail"]
    except (ValueError, RecursionError, AttributeError, KeyError):
        pass
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:300]
    return f"{status} {line}".strip()
