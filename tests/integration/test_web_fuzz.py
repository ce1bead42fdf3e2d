"""Every route with anything at all: no 500, the headers on every answer, nothing executable out of what came in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.email import tokens
from pipeline.settings import load
from pipeline.store.database import Database, open_database
from tests.conftest import NOW, environ_of
from tests.fakes.pages import pages
from tests.fakes.rows import add_insights, add_subscriber

TOKEN = "operator-token-of-a-test"
ROUTES = (
    "/", "/archive", "/archive/{}", "/i/{}", "/e/{}", "/shows", "/s/{}", "/topics", "/t/{}", "/search", "/feed.xml",
    "/search.xml", "/subscribe", "/c/{}", "/u/{}", "/p/{}", "/p/{}/data.json", "/f/{}", "/d/{}", "/ops", "/ops/{}",
    "/ops/login", "/ops/logout", "/ops/act", "/static/{}", "/healthz", "/robots.txt", "/favicon.ico", "/rss.xml",
    "/r/{}", "/archive/{}.md", "/metrics", "/hooks/bounce",
)  # fmt: skip
METHODS = ("GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
NASTY = (
    "", "0", "1", "2", "-1", "2147483648", "9" * 40, "2026-11-20", "0000-00-00", "9999-12-31", "../../etc/passwd",
    "%00", "\x00", "\ud7ff", "<script>alert(1)</script>", "' OR 1=1 --", '"', "a*", "NEAR(", "{{7*7}}", "🎧", "ﬁ İ ß",
    "x" * 3000, "talk", "true", "on", "feeds", "mails", "Europe/Berlin", "a@example.org",
)  # fmt: skip
NAMES = (
    "q", "show", "from", "to", "in", "page", "before", "form", "saved", "state", "done", "v", "email", "token", "csrf",
    "action", "id", "hour", "zone", "count", "days", "until", "sure", "verdict", "wanted_topics", "show:1",
)  # fmt: skip
ANY = st.one_of(st.sampled_from(NASTY), st.text(max_size=60))
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), ANY), max_size=6)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    environ = environ_of(folder) | {
        "PODSIFT_SECRET_KEY": "k1:0123456789abcdef0123456789abcdef",
        "PODSIFT_WEB_OPERATOR_TOKEN": TOKEN,
        "PODSIFT_WEB_OPEN_SUBSCRIBE": "true",
        "PODSIFT_BOUNCE_WEBHOOK_TOKEN": TOKEN,
        "PODSIFT_WEB_BASE_URL": "http://127.0.0.1:1",
    }
    if request.param == "pg":
        from tests import postgres

        context = postgres.database(request.getfixturevalue("postgres_server"))
        environ["PODSIFT_DATABASE_URL"] = context.__enter__()
    found = load(environ=environ)
    db: Database = open_database(found)
    with db.begin() as conn:
        ids = add_insights(conn, NOW, ["Queues lie about lateness.", "Bread is baked twice."])
        who = add_subscriber(conn, NOW)
        digest = build(conn, who, found, lambda *_: None, NOW)
        assert digest is not None
    extras: dict[str, dict[str, int | str]] = {
        "preferences": {},
        "confirm": {},
        "feedback": {"insight": ids[0], "verdict": "less"},
        "view": {"digest": digest},
        "feed": {},
    }
    good = [tokens.make(found, p, who.id, who.nonce, now=NOW, **extra) for p, extra in extras.items()]
    with pages(found, db, FixedClock(NOW)) as address:
        yield address, good
    db.close()
    if request.param == "pg":
        context.__exit__(None, None, None)


def test_no_route_is_left_out(sqlite: Database) -> None:
    from pipeline.web.app import application
    from pipeline.web.site import Site

    app = application(Site(load(environ={}), sqlite, FixedClock(NOW)))
    routes = {re.sub(r"{[^}]*}", "{}", r.path) for r in app._app.routes}  # type: ignore[attr-defined]
    assert routes == set(ROUTES)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_route_breaks(site: tuple[str, list[str]], data: st.DataObject) -> None:
    address, good = site
    part = data.draw(st.one_of(ANY, st.sampled_from(good)))
    path = data.draw(st.sampled_from(ROUTES)).format(quote(part.encode("utf-8", "replace"), safe=""))
    method = data.draw(st.sampled_from(METHODS))
    headers = {"Authorization": f"Bearer {TOKEN}"} if data.draw(st.booleans()) else {}
    if data.draw(st.booleans()):
        headers["Cookie"] = "podsift_ops=" + quote(data.draw(ANY).encode("utf-8", "replace"), safe="")
    form = {name: value.encode("utf-8", "replace") for name, value in data.draw(PAIRS)}
    params = {name: value.encode("utf-8", "replace").decode() for name, value in data.draw(PAIRS)}
    with httpx.Client(base_url=address, timeout=30) as http:
        body = data.draw(st.sampled_from(["form", "raw", "multipart", "none"])) if method == "POST" else "none"
        got = http.request(
            method,
            path,
            params=params,
            headers=headers,
            data=form if body == "form" else None,
            content=data.draw(st.binary(max_size=300)) if body == "raw" else None,
            files={"a": b"b"} if body == "multipart" else None,
        )
    assert got.status_code < 500, (method, path, params, got.status_code)
    assert "frame-ancestors 'none'" in got.headers["content-security-policy"]
    assert got.headers["referrer-policy"] == "no-referrer"
    if got.headers.get("content-type", "").startswith("text/html"):
        assert "<script>alert" not in got.text
        assert not re.search(r"<script(?! src=\"/static/)", got.text)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=10), st.lists(st.text(max_size=20), min_size=1, max_size=3), max_size=8),
    st.binary(max_size=200),
)
def test_any_form_is_read_or_refused(form: dict[str, list[str]], raw: bytes) -> None:
    from pipeline.errors import RefusedError
    from pipeline.web import forms, wanted

    for fields in (forms.parse(raw), {k: tuple(map(forms.clean, v)) for k, v in form.items()}):
        try:
            got = wanted.read(fields, [1, 2])
        except RefusedError:
            continue
        assert got.errors or got.values["days"]
