"""The README's table of the gallery: every demonstration once, with a small picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.gallery import __main__ as gallery
from scripts.gallery import thumbnails

pytest.importorskip("matplotlib")
IMAGE = "scripts/gallery/images/"


def test_the_readme_shows_every_demonstration_once_with_its_rows_and_title() -> None:
    readme = thumbnails.README.read_text(encoding="utf-8")
    cell = rf'src="{IMAGE}(\w+)\.png".*?<b>(.*?)</b> (.*?)<br><code>(\w+)</code>'
    shown = re.findall(cell, readme)
    found = gallery.discover("scripts.gallery")
    assert [name for *_, name in shown] == list(found)
    for picture, rows, title, name in shown:
        assert picture == name
        assert rows == ", ".join(found[name].ROWS)
        assert title.lower() == found[name].TITLE.lower().replace("&", "&amp;")
        assert (thumbnails.IMAGES / f"{name}.png").stat().st_size < 25_000
    pictures = {path.stem for path in thumbnails.IMAGES.glob("*.png")}
    assert pictures == {*found, "curves"}


def test_a_run_becomes_small_pictures_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image = pytest.importorskip("PIL.Image")
    for name, text in (("README", f"a\n{thumbnails.BEGIN}\nold\n{thumbnails.END}\nz\n"),):
        (tmp_path / f"{name}.md").write_text(text)
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (1200, 600), "red").save(tmp_path / "first.png")
    rows = [{"id": ["A1", "A2"], "name": "one", "title": "a title", "pictures": ["first.png"]}]
    (tmp_path / "gallery.json").write_text(json.dumps(rows))
    (images / "gone.png").write_bytes(b"")
    monkeypatch.setattr(thumbnails, "README", tmp_path / "README.md")
    monkeypatch.setattr(thumbnails, "IMAGES", images)
    thumbnails.main([str(tmp_path)])
    text = (tmp_path / "README.md").read_text()
    assert "<b>A1, A2</b> A title<br><code>one</code>" in text
    assert "old" not in text
    assert text.startswith("a\n")
    assert text.endswith("\nz\n")
    assert [path.name for path in images.iterdir()] == ["one.png"]
    with Image.open(images / "one.png") as small:
        assert small.size == (360, 180)


def test_without_a_run_or_a_place_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        thumbnails.main([str(tmp_path)])
    assert caught.value.code == 2
    assert "gallery.json" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected the comments"):
        thumbnails.filled("no place", [])
