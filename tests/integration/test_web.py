"""The pages over real HTTP, on both databases: readers, subscribers, the operator, and what is hostile."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from pipeline.clock import FixedClock
from pipeline.digest.compose import build
from pipeline.email import tokens
from pipeline.email.bounce import envelope_sender
from pipeline.records import Subscriber
from pipeline.settings import Settings, load
from pipeline.store import channels, episodes, feedback, feeds, links, outbox, subscribers
from pipeline.store.database import Database
from pipeline.store.tables import outbox as mails
from pipeline.web.operators import PARTS
from tests.conftest import NOW, environ_of
from tests.fakes.pages import pages
from tests.fakes.rows import add_episode, add_insights, add_subscriber

TOKEN = "operator-token-of-a-test"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover='alert(3) {{7*7}} </title>"


def never(_a: str, _va: object, _b: str, _vb: object) -> str | None:
    return None


@pytest.fixture
def web_settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    extra = {"PODSIFT_DATABASE_URL": request.getfixturevalue("postgres_url")} if "[pg" in request.node.name else {}
    return load(
        environ=environ_of(tmp_path)
        | extra
        | {
            "PODSIFT_SECRET_KEY": "k1:0123456789abcdef0123456789abcdef",
            "PODSIFT_WEB_OPERATOR_TOKEN": TOKEN,
            "PODSIFT_WEB_OPEN_SUBSCRIBE": "true",
            "PODSIFT_WEB_BASE_URL": "http://127.0.0.1:1",
        }
    )


@dataclass
class World:
    db: Database
    settings: Settings
    who: Subscriber
    ids: list[int]
    digest: int
    http: httpx.Client

    def link(self, path: str, purpose: str, **extra: int | str) -> str:
        return f"/{path}/{tokens.make(self.settings, purpose, self.who.id, self.who.nonce, now=NOW, **extra)}"

    def again(self) -> Subscriber:
        with self.db.begin() as conn:
            return subscribers.get(conn, self.who.id)


@pytest.fixture
def world(db: Database, web_settings: Settings, clock: FixedClock) -> Iterator[World]:
    with db.begin() as conn:
        ids = add_insights(conn, NOW, ["Queues lie about lateness, so start the clock when the person asks."], n=1)
        ids += add_insights(conn, NOW, [f"Bread is baked twice. {HOSTILE}"], show=2, n=2)
        feeds.change(conn, 2, {"title": f"Evil {HOSTILE}", "link": "javascript:alert(4)"})
        who = add_subscriber(conn, NOW)
        made = build(conn, who, web_settings, never, NOW)
        assert made is not None
    with pages(web_settings, db, clock) as address, httpx.Client(base_url=address) as http:
        yield World(db, web_settings, who, ids, made, http)


READER_PAGES = (
    "/", "/archive", f"/archive/{NOW.date()}", "/i/1", "/i/2", "/e/1", "/e/2", "/shows", "/s/1", "/s/2", "/topics",
    "/search", "/search?q=queue", "/search?q=queue&in=talk&show=1&from=2020-01-01&to=2030-01-01", "/feed.xml",
    "/search.xml?q=bread",
)  # fmt: skip


def test_every_reader_page_answers_and_escapes(world: World) -> None:
    for path in READER_PAGES:
        got = world.http.get(path)
        assert got.status_code == 200, path
        if not path.split("?")[0].endswith(".xml"):
            assert "<script>alert" not in got.text and "<img src=x" not in got.text, path
            assert "javascript:alert" not in got.text and " onmouseover='" not in got.text, path
            assert "49" not in re.sub(r"\d{3,}", "", got.text) or "{{7*7}}" in got.text, path
        head = world.http.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert "set-cookie" not in got.headers, path
        assert got.headers["x-content-type-options"] == "nosniff"


def test_pages_load_nothing_from_elsewhere(world: World) -> None:
    for path in READER_PAGES:
        text = world.http.get(path).text
        for tag, address in re.findall(r"<(script|link|img|iframe)[^>]*?(?:src|href)=\"([^\"]+)\"", text):
            if not path.split("?")[0].endswith(".xml"):
                assert address.startswith("/"), (path, tag, address)
        assert 'preload="none"' in text or "<audio" not in text
        assert not re.search(r"<[^>]+\son\w+=", text) and not re.search(r"<[^>]+\sstyle=", text), path


def test_an_insight_shows_its_proof(world: World) -> None:
    text = world.http.get(f"/i/{world.ids[0]}").text
    assert "<strong>Ada</strong>" in text and "https://media.example.org/1.mp3#t=10.0" in text
    assert ('class="proof"' in text and "the publisher&#39;s own" in text) or "publisher" in text


@pytest.mark.parametrize(("judge", "says"), [("words", "likeness 0.52 of 1"), ("relation 2", "how it was decided")])
def test_what_only_words_related_says_what_both_share(world: World, judge: str, says: str) -> None:
    with world.db.begin() as conn:
        newer, earlier = world.ids[1], world.ids[0]
        link = links.Link(newer, earlier, "related", "how it was decided", 0.52, judge)
        links.replace(conn, 2, [link], NOW)
    page = world.http.get(f"/i/{earlier}").text
    assert says in page and ("how it was decided" in page) == (judge != "words")


def test_private_audio_is_not_given_away(world: World) -> None:
    with world.db.begin() as conn:
        feeds.change(conn, 1, {"credentials": "sealed"})
    for path in (f"/i/{world.ids[0]}", "/e/1", "/search?q=queue&in=talk", "/feed.xml"):
        assert "media.example.org" not in world.http.get(path).text, path


def test_a_digest_as_it_was_sent(world: World) -> None:
    link = world.link("d", "view", digest=world.digest)
    got = world.http.get(link)
    assert got.status_code == 200 and "Queues lie about lateness" in got.text
    assert got.headers["cache-control"] == "no-store" and "noindex" in got.headers["x-robots-tag"]
    assert "script-src" not in got.headers["content-security-policy"]
    assert world.http.get(link + "?form=text").headers["content-type"].startswith("text/plain")
    assert world.http.get(world.link("d", "view", digest=999)).status_code == 404
    assert world.http.get(world.link("d", "unsubscribe")).status_code == 400


def test_atom_is_xml_and_answers_304(world: World) -> None:
    got = world.http.get("/feed.xml")
    root = ET.fromstring(got.content)
    atom = "{http://www.w3.org/2005/Atom}"
    titles = [e.findtext(f"{atom}title") for e in root.iter(f"{atom}entry")]
    assert len(titles) == 2 and any(t and t.startswith("Queues lie") for t in titles)
    content = next(e for e in root.iter(f"{atom}content") if "Bread" in (e.text or ""))
    assert "<script>" not in (content.text or "") and "&lt;script&gt;" in (content.text or "")
    again = world.http.get("/feed.xml", headers={"If-None-Match": got.headers["etag"]})
    assert again.status_code == 304
    assert len(list(ET.fromstring(world.http.get("/search.xml?q=bread").content).iter(f"{atom}entry"))) == 1


def test_rss_is_for_everybody_or_for_one(world: World) -> None:
    for path, n in (("/rss.xml", 2), (world.link("r", "feed"), 2)):
        got = world.http.get(path)
        root = ET.fromstring(got.content)
        items = list(root.iter("item"))
        assert root.tag == "rss" and len(items) == n and not list(root.iter("enclosure"))
        assert len({i.findtext("guid") for i in items}) == n
        assert all("<script>" not in (i.findtext("description") or "") for i in items)
        assert world.http.get(path, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert got.headers["cache-control"] == "no-store" and "noindex" in got.headers["x-robots-tag"]
    assert world.http.get(world.link("r", "view", digest=1)).status_code == 400
    with world.db.begin() as conn:
        subscribers.erase(conn, world.who.id)
    assert world.http.get(path).status_code == 404


def test_a_day_as_markdown(world: World) -> None:
    got = world.http.get(f"/archive/{NOW.date()}.md")
    assert got.headers["content-disposition"] == f'attachment; filename="{NOW.date()} Podsift.md"'
    assert got.text.startswith("---\ndate: 2026-11-20\n") and "Queues lie about lateness" in got.text
    assert "<script>" not in got.text.split("---\n", 2)[2].replace("\\<script", "")
    assert world.http.get("/archive/2020-01-01.md").status_code == 404 == world.http.get("/archive/x.md").status_code


def test_search_marks_and_filters(world: World) -> None:
    text = world.http.get("/search", params={"q": "queue"}).text
    assert "<mark>Queues</mark>" in text
    assert "<mark>" not in world.http.get("/search", params={"q": "queue", "show": "2"}).text
    assert "Nothing was found" in world.http.get("/search", params={"q": "zebra"}).text
    hostile = world.http.get("/search", params={"q": HOSTILE}).text
    assert "<script>alert" not in hostile


def test_unknown_things_are_404(world: World) -> None:
    for path in ("/nope", "/i/0", "/i/999", "/i/x", f"/i/{10**30}", "/e/-1", "/s/77", "/t/none", "/archive/2020-13-01",
                 "/archive/2020-01-01", "/static/../site.css", "/static/nope", "/ops/nope"):  # fmt: skip
        assert world.http.get(path).status_code == 404, path
    assert world.http.post("/archive").status_code == 405
    assert world.http.get("/healthz").text == "ok\n"


def test_an_archive_that_is_closed(db: Database, web_settings: Settings, clock: FixedClock) -> None:
    closed = web_settings.model_copy(update={"web": web_settings.web.model_copy(update={"public": False})})
    with db.begin() as conn:
        add_insights(conn, NOW, ["A thought."])
        who = add_subscriber(conn, NOW)
    with pages(closed, db, clock) as address, httpx.Client(base_url=address) as http:
        for path in ("/", "/i/1", "/e/1", "/search?q=thought", "/feed.xml"):
            assert http.get(path).status_code == 403, path
        assert http.get("/i/1", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        token = tokens.make(closed, "preferences", who.id, who.nonce)
        assert http.get(f"/p/{token}").status_code == 200
        assert "Disallow: /\n" in http.get("/robots.txt").text


# --- subscribers -----------------------------------------------------------------------------------------------------


def test_subscribing_asks_first_and_says_the_same_to_everybody(world: World) -> None:
    said = {}
    for email in ("new@example.org", "reader@example.org"):
        got = world.http.post("/subscribe", data={"email": email})
        said[email] = got.status_code, got.text.replace(email, "X")
    assert said["new@example.org"] == said["reader@example.org"]
    with world.db.begin() as conn:
        fresh = subscribers.find(conn, "new@example.org")
        mails = [m for m in outbox.listed(conn) if m["recipient"] == "new@example.org"]
        assert (fresh.state, len(mails)) == ("pending", 1)
        assert len([m for m in outbox.listed(conn) if m["recipient"] == "reader@example.org"]) == 1  # the digest
    link = "/c/" + tokens.make(world.settings, "confirm", fresh.id, fresh.nonce, now=NOW)
    assert world.http.get(link).status_code == 200
    with world.db.begin() as conn:
        assert subscribers.find(conn, "new@example.org").state == "pending", "a GET confirms nothing"
    for _ in range(2):
        assert "You are subscribed" in world.http.post(link, data={}).text
    with world.db.begin() as conn:
        assert subscribers.find(conn, "new@example.org").state == "active"
    assert world.http.post("/subscribe", data={"email": "no address"}).status_code == 422


def test_a_confirm_link_ends(world: World, clock: FixedClock) -> None:
    link = world.link("c", "confirm")
    clock.at = NOW + timedelta(hours=49)
    assert world.http.get(link).status_code == 400
    assert world.http.post(link, data={}).status_code == 400


@pytest.mark.parametrize("kind", ["urlencoded", "multipart", "empty"])
def test_one_click_unsubscribe(world: World, kind: str) -> None:
    link = world.link("u", "unsubscribe")
    assert "Unsubscribe</button>" in world.http.get(link).text
    assert world.again().state == "active", "a GET changes nothing"
    for _ in range(2):
        if kind == "multipart":
            got = world.http.post(link, files={"List-Unsubscribe": (None, "One-Click")})
        else:
            got = world.http.post(link, data={"List-Unsubscribe": "One-Click"} if kind == "urlencoded" else None)
        assert got.status_code == 200 and "set-cookie" not in got.headers
        assert world.again().state == "removed"
    with world.db.begin() as conn:
        assert {m["state"] for m in outbox.listed(conn)} == {"suppressed"}
        subscribers.erase(conn, world.who.id)
    assert world.http.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200


FORM = {"action": "save", "hour": "6", "zone": "Europe/Berlin", "count": "3", "days": ["1", "5"]}


def test_preferences_are_saved(world: World) -> None:
    link = world.link("p", "preferences")
    page = world.http.get(link)
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    sent = FORM | {"show:1": "more", "show:2": "mute", "wanted_topics": "Queues, bread baking", "muted_topics": ""}
    got = world.http.post(link, data=sent)
    assert (got.status_code, got.headers["location"]) == (303, f"{link}?saved=save")
    who = world.again()
    assert (who.hour, who.time_zone, who.count, who.days) == (6, "Europe/Berlin", 3, (1, 5))
    assert (who.wanted_shows, who.muted_shows, who.wanted_topics) == ((1,), (2,), ("queues", "bread baking"))
    assert "queues, bread baking" in world.http.get(link).text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hour": "24"}, "Choose an hour"),
        ({"zone": "Mars/Olympus"}, "time zone from the list"),
        ({"count": "11"}, "Choose a number"),
        ({"days": []}, "Choose one day at least"),
        ({"show:1": "mute", "show:2": "mute"}, "every show muted"),
        ({"wanted_topics": "x" * 100}, "At most 50 topics"),
    ],
)
def test_wrong_preferences_are_named(world: World, change: dict[str, str], says: str) -> None:
    before = world.again()
    got = world.http.post(world.link("p", "preferences"), data=FORM | change)
    assert got.status_code == 422 and says in got.text
    assert world.again() == before


def test_pause_resume_export_delete(world: World) -> None:
    link = world.link("p", "preferences")
    for until in ("", "2020-01-01", "2099-01-01", "x"):
        assert world.http.post(link, data={"action": "pause", "until": until}).status_code == 422
    assert world.http.post(link, data={"action": "pause", "until": "2026-12-01"}).status_code == 303
    paused = world.again()
    assert paused.state == "paused" and str(paused.paused_until) == "2026-12-01 07:00:00+00:00"
    assert world.http.post(link, data={"action": "resume"}).status_code == 303
    assert world.again().state == "active"
    data = world.http.get(f"{link}/data.json")
    assert data.headers["content-disposition"].startswith("attachment")
    stored = data.json()
    assert stored["subscriber"][0]["email"] == "reader@example.org" and len(stored["digest"]) == 1
    # The mails that this person has anyway may hold it; no column of ours does.
    held = {k for rows in stored.values() for row in rows for k, v in row.items() if world.who.nonce in str(v)}
    assert held <= {"message"}
    assert world.http.post(link, data={"action": "delete"}).status_code == 422
    assert "is deleted" in world.http.post(link, data={"action": "delete", "sure": "yes"}).text
    assert world.http.get(link).status_code == 400
    with world.db.begin() as conn:
        assert subscribers.listed(conn, all_states=True) == []


def test_feedback_waits_for_a_button(world: World) -> None:
    link = world.link("f", "feedback", insight=world.ids[0], verdict="more")
    assert world.http.get(link).status_code == 200
    with world.db.begin() as conn:
        assert feedback.counts(conn) == {"more": 0, "less": 0, "wrong": 0}, "a GET says nothing"
    assert "Thank you" in world.http.post(link, data={}).text
    assert "Thank you" in world.http.post(link, data={"verdict": "wrong"}).text
    with world.db.begin() as conn:
        assert feedback.counts(conn) == {"more": 0, "less": 0, "wrong": 1}
    assert world.http.post(link, data={"verdict": "else"}).status_code == 400
    assert world.http.get(world.link("f", "feedback", insight=999, verdict="more")).status_code == 400
    assert world.http.get(world.link("f", "feedback", insight=world.ids[0], verdict="x")).status_code == 400


def test_links_end_with_their_nonce(world: World) -> None:
    for path, purpose in (("p", "preferences"), ("c", "confirm")):
        token = tokens.make(world.settings, purpose, world.who.id, "another nonce", now=NOW)
        assert world.http.get(f"/{path}/{token}").status_code == 400
        assert world.http.post(f"/{path}/{token}", data=FORM).status_code == 400
    assert world.http.get("/p/" + "x" * 5000).status_code == 400


# --- the operator ----------------------------------------------------------------------------------------------------


def sign_in(world: World) -> str:
    got = world.http.post("/ops/login", data={"token": TOKEN})
    cookie = got.headers["set-cookie"].lower()
    assert got.status_code == 303 and "httponly" in cookie and "samesite=strict" in cookie and "path=/ops" in cookie
    found = re.search(r'name="csrf" value="(\w+)"', world.http.get("/ops").text)
    assert found
    return found[1]


def test_operator_pages_need_the_token(world: World) -> None:
    for path in ("/ops", *(f"/ops/{part}" for part in PARTS)):
        assert world.http.get(path).headers.get("location") == "/ops/login", path
        assert world.http.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 303
        got = world.http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert got.status_code == 200 and got.headers["cache-control"] == "no-store", path
        assert "<script>alert" not in got.text
    assert world.http.post("/ops/login", data={"token": "wrong"}).status_code == 403
    assert world.http.post("/ops/act", data={"action": "retry", "id": "1"}).status_code == 403


def test_operator_actions(world: World) -> None:
    with world.db.begin() as conn:
        failed = add_episode(conn, NOW, n=7)
        episodes.advance(conn, failed, "download", "failed", error="it broke")
        (mail,) = outbox.listed(conn)
        conn.execute(mails.update().where(mails.c.id == mail["id"]).values(state="uncertain"))
    csrf = sign_in(world)
    assert "it broke" in world.http.get("/ops/jobs").text
    assert "uncertain" in world.http.get("/ops/mails").text

    def act(action: str, wanted: int, **more: str) -> httpx.Response:
        return world.http.post("/ops/act", data={"action": action, "id": str(wanted), "csrf": csrf} | more)

    assert act("retry", failed, csrf="wrong").status_code == 403
    assert (
        world.http.post(
            "/ops/act", data={"action": "pause", "id": "1", "csrf": csrf}, headers={"Sec-Fetch-Site": "cross-site"}
        ).status_code
        == 403
    )
    assert act("retry", failed).status_code == 303
    assert act("pause", 1).status_code == 303
    assert act("mark-sent", mail["id"]).status_code == 303
    assert act("mark-sent", mail["id"]).status_code == 409
    assert act("retry", 999).status_code == 409
    assert act("explode", 1).status_code == 400
    with world.db.begin() as conn:
        assert episodes.get(conn, failed)["stage"] == "download"
        assert feeds.find(conn, "1")["state"] == "paused"
        assert outbox.counts(conn) == {"sent": 1}
    done = world.http.post(
        "/ops/act", data={"action": "resume", "id": "1"}, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert done.json()["action"] == "resume"
    assert world.http.post("/ops/logout", data={"csrf": csrf}).status_code == 303
    assert world.http.get("/ops").status_code == 303


def test_the_operator_sees_channels_and_acts_on_them(world: World) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert "podsift channel add" in world.http.get("/ops/channels", headers=bearer).text
    with world.db.begin() as conn:
        made = [
            channels.add(conn, world.who.id, kind, f"{kind}-{HOSTILE}", "sealed-secret", f"there {HOSTILE}", NOW)
            for kind in ("webhook", "chat", "folder")
        ]
        for channel_id in made[:2]:
            channels.put(conn, world.digest, channel_id, f"key-{channel_id}", "{}", NOW, NOW + timedelta(days=1))
        for state, why in (("failed", "the server answered 403"), ("uncertain", f"lost {HOSTILE}")):
            post = channels.take(conn, NOW)
            assert post is not None
            channels.settle(conn, post.id, state, why, NOW)
        overview = {
            c["kind"]: (c["waits"], c["uncertain"], c["last"] and c["last"]["state"]) for c in channels.overview(conn)
        }
    assert overview == {"webhook": (0, 0, "failed"), "chat": (0, 1, "uncertain"), "folder": (0, 0, None)}
    page = world.http.get("/ops/channels", headers=bearer).text
    assert "the server answered 403" in page and "nothing posted yet" in page
    assert "<script>alert" not in page and "sealed-secret" not in page
    only = world.http.get("/ops/channels?state=failed", headers=bearer).text
    assert "It arrived" not in only and "Try now" in only
    assert "posts of which nobody can know" in world.http.get("/ops", headers=bearer).text

    def act(action: str, wanted: int) -> int:
        return world.http.post("/ops/act", data={"action": action, "id": str(wanted)}, headers=bearer).status_code

    assert [act("channel-pause", made[0]), act("channel-resume", made[0]), act("channel-pause", made[2])] == [200] * 3
    assert [act("post-again", 1), act("post-arrived", 2), act("post-arrived", 2)] == [200, 200, 409]
    assert [act("channel-pause", 999), act("post-again", 999)] == [409, 409]
    with world.db.begin() as conn:
        assert [c["state"] for c in channels.listed(conn)] == ["active", "active", "paused"]
        assert channels.counts(conn) == {"queued": 1, "sent": 1}
        assert [c["waits"] for c in channels.overview(conn)] == [1, 0, 0]


def test_without_a_token_there_are_no_operator_pages(db: Database, settings: Settings, clock: FixedClock) -> None:
    with pages(settings, db, clock) as address, httpx.Client(base_url=address) as http:
        for path in ("/ops", "/ops/login", "/ops/feeds"):
            assert http.get(path).status_code == 404, path
        assert http.post("/ops/login", data={"token": ""}).status_code == 404
        assert http.get("/subscribe").status_code == 403
        assert http.get("/").status_code == 200, "an empty installation has pages too"


# --- limits ----------------------------------------------------------------------------------------------------------


def test_forms_are_bounded(world: World) -> None:
    link = world.link("p", "preferences")
    assert world.http.post(link, data={"zone": "x" * 70_000}).status_code == 413
    assert world.http.post(link, content=b"a=1&" * 500, headers=URLENCODED).status_code == 400
    assert world.http.post(link, json={"hour": 1}).status_code == 415
    assert world.http.post(link, content=b"zone=%00%ff%ed%a0%80&hour=\x00", headers=URLENCODED).status_code == 422


URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_mail_server_posts_a_bounce(world: World, clock: FixedClock) -> None:
    assert world.http.post("/hooks/bounce", content=b"x").status_code == 404, "closed until a token is set"
    more = {"bounce": {"address": "bounce@example.org", "webhook_token": TOKEN}}
    ours = Settings.model_validate(world.settings.model_dump() | more)
    with world.db.begin() as conn:
        (mail,) = outbox.listed(conn)
    to = envelope_sender(ours, mail["id"])
    report = (
        f"To: {to}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nNo.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; reader@example.org\r\n"
        "Action: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()
    with pages(ours, world.db, clock) as address, httpx.Client(base_url=address) as http:
        assert http.post("/hooks/bounce", content=report).status_code == 401
        wrong = {"Authorization": "Bearer not-this-token-at-all"}
        assert http.post("/hooks/bounce", content=report, headers=wrong).status_code == 401
        good = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
        assert http.post("/hooks/bounce", content=b"x" * 300_000, headers=good).status_code == 413
        assert http.post("/hooks/bounce", content=report, headers=good).json() == {"kind": "hard", "suppressed": True}
        assert http.post("/hooks/bounce", content=report, headers=good).json()["kind"] == "repeated"


def test_rates_are_limited(sqlite: Database, web_settings: Settings, clock: FixedClock) -> None:
    with pages(web_settings, sqlite, clock, limits=None) as address, httpx.Client(base_url=address) as http:
        said = [http.post("/ops/login", data={"token": "guess"}).status_code for _ in range(7)]
        assert said == [403] * 5 + [429] * 2
        slow = http.post("/ops/login", data={"token": TOKEN})
        assert slow.status_code == 429 and int(slow.headers["retry-after"]) > 0
        said = [http.post("/subscribe", data={"email": f"a{n}@example.org"}).status_code for n in range(6)]
        assert said == [200] * 5 + [429]


def test_clicks_are_counted_by_person_and_never_by_address(
    sqlite: Database, web_settings: Settings, clock: FixedClock
) -> None:
    """A mail provider clicks for all of its people from one address, maybe twice each; none of them may be refused."""
    with sqlite.begin() as conn:
        everybody = [add_subscriber(conn, NOW, f"reader{k}@example.org", nonce=f"{k:032x}") for k in range(60)]
    links = [f"/u/{tokens.make(web_settings, 'unsubscribe', w.id, w.nonce)}" for w in everybody]
    one_click = {"List-Unsubscribe": "One-Click"}
    with pages(web_settings, sqlite, clock, limits=None) as address, httpx.Client(base_url=address) as http:
        said = [http.post(link, data=one_click).status_code for link in links for _ in range(2)]
        assert said == [200] * 120
        with sqlite.begin() as conn:
            assert {subscribers.get(conn, w.id).state for w in everybody} == {"removed"}
        # The same link over and over is refused, after it has done its work; the next person's is not.
        again = [http.post(links[0], data=one_click) for _ in range(12)]
        assert [a.status_code for a in again] == [200] * 8 + [429] * 4 and int(again[-1].headers["retry-after"]) > 0
        assert http.post(links[1], data=one_click).status_code == 200
        # What carries no token of ours is counted by address, and does not count against people's clicks.
        forged = [http.post("/u/forged", data=one_click).status_code for _ in range(32)]
        assert forged == [400] * 30 + [429] * 2
        assert http.post(links[2], data=one_click).status_code == 200


def test_reading_waits_for_no_writer(sqlite: Database, web_settings: Settings, clock: FixedClock) -> None:
    with sqlite.begin() as conn:
        add_insights(conn, NOW, ["A thought."])
    with pages(web_settings, sqlite, clock) as address, httpx.Client(base_url=address, timeout=5) as http:
        with sqlite.begin() as conn:
            add_insights(conn, NOW, ["Not committed yet."], n=2)
            assert http.get("/i/1").status_code == 200
            assert http.get("/i/2").status_code == 404
