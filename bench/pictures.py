"""Pictures of the demo's mail, from its own HTML: light and dark, wide and phone. Needs Chromium and a finished demo.

python bench/pictures.py demo-data/mail/*.html artefacts/
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]  # fmt: skip
SHAPES = {"wide": (720, 1600), "phone": (500, 2100)}
PHONE = 375


def page(html: Path, shape: str, folder: Path) -> Path:
    """The file to open: for a phone a frame of its width, since headless Chromium opens no window below 500 px."""
    if shape != "phone":
        return html
    frame = folder / "phone.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="{html.absolute().as_uri()}" '
        f'style="border:0;width:{PHONE}px;height:2100px"></iframe></body>',
        "utf-8",
    )
    return frame


def main(html: Path, out: Path) -> None:
    """Write one PNG a shape and scheme."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium here; install one (Debian: apt-get install chromium)")
    out.mkdir(parents=True, exist_ok=True)
    for shape, (width, height) in SHAPES.items():
        for scheme in ("light", "dark"):
            target = out / f"digest-{shape}-{scheme}.png"
            with tempfile.TemporaryDirectory() as profile:
                flags = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
                if scheme == "dark":
                    flags.append("--blink-settings=preferredColorScheme=0")
                else:
                    flags.append("--blink-settings=preferredColorScheme=1")
                url = page(html, shape, Path(profile)).absolute().as_uri()
                command = [chromium, *flags, f"--screenshot={target.absolute()}", url]
                subprocess.run(command, check=True, capture_output=True, timeout=120)
            print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
