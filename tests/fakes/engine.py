"""An offline engine: answers a file of questions with the stand-in for SGLang, as `vllm run-batch` would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.sglang import FakeSglang

Change = Callable[[dict[str, Any]], dict[str, Any]]


def answer_file(server: FakeSglang, questions: Path, answers: Path, change: Change = lambda a: a) -> list[str]:
    """Answer each line; returns the ids. `change` may spoil an answer line."""
    ids: list[str] = []
    with answers.open("w", encoding="utf-8") as out, httpx.Client(base_url=server.url, timeout=20) as client:
        for raw in questions.read_text("utf-8").splitlines():
            asked = json.loads(raw)
            assert (asked["method"], asked["url"]) == ("POST", "/v1/chat/completions")
            got = client.post(asked["url"], json=asked["body"])
            response = {"status_code": got.status_code, "request_id": "r", "body": got.json()}
            answer = {"id": f"b-{len(ids)}", "custom_id": asked["custom_id"], "response": response, "error": None}
            out.write(json.dumps(change(answer)) + "\n")
            ids.append(asked["custom_id"])
    return ids
