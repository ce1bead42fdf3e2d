"""Forms as they come in: bounded, urlencoded, without control characters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from pipeline.errors import RefusedError

MAX_BODY = 64_000
MAX_FIELDS = 400
MAX_VALUE = 4_000
BODY_S = 15.0

Fields = Mapping[str, tuple[str, ...]]


async def body(request: Request, limit: int = MAX_BODY) -> bytes:
    """A request's body. Raises RefusedError when it is too large, too slow, or breaks off."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise RefusedError("This form is too large", why=f"{limit} bytes are allowed", status=413)
                parts.append(part)
    except TimeoutError:
        raise RefusedError("This form came too slowly", status=408) from None
    except ClientDisconnect:
        raise RefusedError("This form broke off", status=400) from None
    return b"".join(parts)


def parse(data: bytes) -> Fields:
    """Fields with their values in order. Raises RefusedError when there are too many."""
    try:
        pairs = parse_qsl(
            data.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS
        )
    except ValueError as e:
        raise RefusedError("This form has too many fields", status=400) from e
    found: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        found[name] = (*found.get(name, ()), clean(value))
    return found


def clean(value: str) -> str:
    """One line of printable text: PostgreSQL takes no NUL, and nothing of ours wants line breaks."""
    return "".join(c if c.isprintable() else " " for c in value[:MAX_VALUE]).strip()


async def fields(request: Request) -> Fields:
    """The fields of a posted form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise RefusedError("This form has a type that is not understood", why=clean(kind), status=415)
    return parse(await body(request))


def one(form: Fields, name: str, default: str = "") -> str:
    """The last value of a field."""
    return form[name][-1] if form.get(name) else default


def whole(text: str, low: int, high: int) -> int | None:
    """A whole number within bounds, else None."""
    if not (text.isascii() and text.isdecimal() and len(text) < 11):
        return None
    n = int(text)
    return n if low <= n <= high else None
