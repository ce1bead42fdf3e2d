"""The sample shows' server and the mail sink that the demo stands up."""

import smtplib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline import transport
from pipeline.demo.samples import SampleServer
from pipeline.demo.sink import MailSink
from pipeline.feed.parse import parse
from pipeline.settings import FeedSettings


def test_dates_end_yesterday_and_the_port_stays(tmp_path: Path) -> None:
    with SampleServer(tmp_path) as server:
        port = server.port
        allowed = FeedSettings(allow_hosts=(f"127.0.0.1:{port}",))  # type: ignore[call-arg]
        with transport.client(allowed) as client:
            dates = []
            for name in ("feed-slow-software.xml", "feed-long-table.xml"):
                url = f"{server.base_url}/{name}"
                feed = parse(transport.get(client, url, max_bytes=100_000, timeout_s=5).body, url)
                dates += [e.published for e in feed.episodes if e.published]
                assert all(e.enclosure_url.startswith(server.base_url) for e in feed.episodes)
    assert len(dates) == 4
    assert max(dates).date() == (datetime.now(UTC) - timedelta(days=1)).date()
    with SampleServer(tmp_path) as server:
        assert server.port == port


def test_the_sink_keeps_what_it_gets(tmp_path: Path) -> None:
    with MailSink(tmp_path) as sink:
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=5) as smtp:
            message = "Subject: x\r\nMessage-ID: <a.b@c>\r\n\r\nhello\r\n"
            smtp.sendmail("a@example.org", ["b@example.org"], message)
        assert [p.name for p in sink.files()] == ["a.b.eml"]
        assert sink.files()[0].read_bytes().endswith(b"hello\r\n")
