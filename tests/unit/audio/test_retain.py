"""Audio that a crash left behind goes; what an episode needs stays."""

from pathlib import Path

from pipeline.audio.retain import sweep
from pipeline.clock import FixedClock
from pipeline.store import episodes
from pipeline.store.database import Database
from tests.fakes.rows import add_episode


def test_only_what_is_wanted_stays(db: Database, clock: FixedClock, tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    with db.begin() as conn:
        coming = add_episode(conn, clock.now(), n=1)
        done = add_episode(conn, clock.now(), n=2, stage="done")
        kept = add_episode(conn, clock.now(), n=3, stage="done")
        episodes.note(conn, kept, {"audio_path": f"{tmp_path}/{kept}"})
        wanted = episodes.audio_wanted(conn)
    for name in (f"{coming}.part", f"{coming}.part.json", str(done), str(kept), "999.part"):
        (folder / name).touch()
    assert sweep(folder, wanted) == 2
    assert {p.name for p in folder.iterdir()} == {f"{coming}.part", f"{coming}.part.json", str(kept)}
    assert sweep(tmp_path / "none", wanted) == 0
