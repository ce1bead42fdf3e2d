"""Calls to the served language model: what they were for, what they cost, what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from pipeline.insight.llm_base import LlmCall
from pipeline.store.tables import llm_call


def save(conn: Connection, calls: Sequence[LlmCall]) -> None:
    """Add calls."""
    conn.execute(insert(llm_call), [asdict(call) for call in calls])


def tokens_since(conn: Connection, since: datetime) -> int:
    """Tokens of prompts (cached ones too) and answers of the calls since then, as far as the server told."""
    both = func.coalesce(llm_call.c.prompt_tokens, 0) + func.coalesce(llm_call.c.completion_tokens, 0)
    return int(conn.execute(select(func.coalesce(func.sum(both), 0)).where(llm_call.c.at >= since)).scalar_one())


def summary(conn: Connection, since: datetime) -> list[dict[str, Any]]:
    """By model, purpose and outcome: calls, prompt_tokens, cached_tokens, completion_tokens, seconds."""
    by = (llm_call.c.model, llm_call.c.purpose, llm_call.c.outcome)
    sums = [
        func.coalesce(func.sum(llm_call.c[name]), 0).label(name)
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "seconds")
    ]
    query = select(*by, func.count().label("calls"), *sums).where(llm_call.c.at >= since)
    return [dict(r._mapping) for r in conn.execute(query.group_by(*by).order_by(*by))]
