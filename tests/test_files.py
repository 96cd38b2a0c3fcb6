"""Files that are whole or not there at all, and readers that trust no byte of them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

import pytest

from tests.faults import faults, full
from xpnet import files
from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.files import UnreadableError, contents, json_value, reading, replacing, versions

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: str, keep: int = 1) -> None:
    with replacing(path, keep) as part, part.open("w") as file:
        file.write(text)


def texts(path: Path) -> list[str]:
    """Return what the versions of a file say, the newest first."""
    return [one.read_text() for one in versions(path)]


def test_a_file_appears_under_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as part:
        part.write_text("new")
        assert part.parent == tmp_path  # a rename within one file system is atomic
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_block_that_raises_changes_nothing(tmp_path, error, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)

    def write_half():
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_text() == old


def test_a_block_that_raises_before_it_writes_raises_its_own_error(tmp_path):
    with pytest.raises(RuntimeError, match="mine"), replacing(tmp_path / "a.txt"):
        raise RuntimeError("mine")
    assert names(tmp_path) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as one, replacing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"  # the outer block ends last
    assert names(tmp_path) == ["a.txt"]


def test_folders_on_the_way_are_made(tmp_path):
    path = tmp_path / "run" / "first" / "a.txt"
    with replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


class TestLeftovers:
    @posix
    def test_those_of_a_dead_writer_are_removed_by_the_next(self, tmp_path):
        for name in (".a.txt.0a1b2c3d.part", ".a.txt.0a1b2c3d.old", ".a.txt.ffffffff.old"):
            (tmp_path / name).write_text("half")
        write(tmp_path / "a.txt", "new")
        assert names(tmp_path) == ["a.txt"]

    def test_those_of_a_living_one_and_of_other_files_stay(self, tmp_path):
        others = [".a.txt.0a1b2c3d.part.txt", ".b.txt.0a1b2c3d.part", ".a.txt.part", "a.txt.part"]
        others.append(".a.txt.b.0a1b2c3d.part")  # of a file that is called a.txt.b
        for name in others:
            (tmp_path / name).write_text("of others")
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("first")
            write(tmp_path / "a.txt", "second")
            assert part.read_text() == "first"
        assert (tmp_path / "a.txt").read_text() == "first"
        assert names(tmp_path) == sorted([*others, "a.txt"])

    @posix
    def test_a_writer_whose_file_is_taken_for_one_makes_another(self, tmp_path, monkeypatch):
        """Another writer may remove it between its making and its locking."""
        made = []

        def taken(descriptor: int, part: Path) -> bool:
            made.append(part)
            if len(made) == 1:
                files._remove_leftovers(tmp_path / "a.txt")
                assert not part.exists()
            return locked(descriptor, part)

        locked = files._locked
        monkeypatch.setattr(files, "_locked", taken)
        write(tmp_path / "a.txt", "new")
        assert len(made) == 2
        assert (tmp_path / "a.txt").read_text() == "new"

    def test_without_locks_files_are_written_and_leftovers_stay(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "fcntl", None)  # as on Windows
        (tmp_path / ".a.txt.0a1b2c3d.part").write_text("of whom?")
        for text in ("old", "new"):
            write(tmp_path / "a.txt", text, keep=2)
        assert texts(tmp_path / "a.txt") == ["new", "old"]
        assert names(tmp_path) == [".a.txt.0a1b2c3d.part", "a.1.txt", "a.txt"]

    @posix
    @pytest.mark.parametrize("keep", [1, 3])
    def test_many_writers_of_one_file_each_leave_it_whole(self, tmp_path, keep):
        errors = []

        def work(digit: str) -> None:
            try:
                for _ in range(20):
                    write(tmp_path / "a.txt", digit * 1000, keep)
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(digit,)) for digit in "123"]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if (tmp_path / "a.txt").exists():
                assert len(set((tmp_path / "a.txt").read_text())) == 1
        assert errors == []
        assert set(names(tmp_path)) <= {"a.txt", "a.1.txt", "a.2.txt"}
        assert all(len(set(text)) == 1 for text in texts(tmp_path / "a.txt"))


@posix
class TestWhatThePathIs:
    def test_a_link_stays_and_its_target_is_replaced(self, tmp_path):
        (tmp_path / "far").mkdir()
        target, link = tmp_path / "far" / "a.txt", tmp_path / "link.txt"
        link.symlink_to("far/a.txt")  # leads nowhere yet
        for text in ("first", "second"):
            write(link, text, keep=2)
        assert link.is_symlink()
        assert not target.is_symlink()
        assert names(target.parent) == ["a.1.txt", "a.txt"]
        assert texts(link) == ["second", "first"]

    def test_a_circle_of_links_is_an_error(self, tmp_path):
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OSError, match="symbolic links"):
            write(tmp_path / "a", "new")

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
    def test_the_mode_of_a_file_is_kept(self, tmp_path, mode):
        path = tmp_path / "a.txt"
        path.write_text("old")
        path.chmod(mode)
        with replacing(path) as part:
            part.write_text("new")
            assert stat.S_IMODE(part.stat().st_mode) & ~(mode | 0o600) == 0  # nor wider meanwhile
        assert stat.S_IMODE(path.stat().st_mode) == mode

    @pytest.mark.parametrize("mask", [0o022, 0o077])
    def test_a_new_file_has_the_mode_that_the_umask_leaves(self, tmp_path, mask):
        before = os.umask(mask)
        try:
            write(tmp_path / "a.txt", "new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask

    def test_a_folder_is_refused_with_a_sentence(self, tmp_path):
        with pytest.raises(IsADirectoryError, match=r"the name of a file, got a folder"):
            write(tmp_path, "new")
        assert names(tmp_path) == []

    def test_a_device_is_written_into(self):
        write(Path("/dev/null"), "new", keep=2)
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_a_pipe_is_written_into(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        write(tmp_path / "pipe", "new")
        assert os.read(reader, 100) == b"new"
        os.close(reader)
        assert names(tmp_path) == ["pipe"]
        with pytest.raises(OSError, match=r"pipe'"):  # nobody reads any more
            write(tmp_path / "pipe", "new")

    @pytest.mark.parametrize("piped", [True, False])
    def test_standard_output_is_written_into(self, tmp_path, piped):
        program = (
            "from tests.test_files import write, Path\n"
            "print('before', flush=True)\nwrite(Path('/dev/stdout'), 'new')\nprint(' after')"
        )
        command = [sys.executable, "-c", program]
        if piped:
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        else:
            with (tmp_path / "out").open("a") as out:
                subprocess.run(command, check=True, stdout=out)
            said = (tmp_path / "out").read_text()
        assert said == "before\nnew after\n"


class TestVersions:
    def test_so_many_stay_and_the_oldest_goes(self, tmp_path):
        path = tmp_path / "run.safetensors"
        assert versions(path) == []
        assert versions(tmp_path / "nowhere" / "run") == []
        for number in range(6):
            write(path, str(number), keep=3)
        assert texts(path) == ["5", "4", "3"]
        assert names(tmp_path) == ["run.1.safetensors", "run.2.safetensors", "run.safetensors"]

    def test_a_gap_is_filled_before_one_goes(self, tmp_path):
        path = tmp_path / "run"
        for number in range(4):
            write(path, str(number), keep=4)
        (tmp_path / "run.1").unlink()
        write(path, "4", keep=4)
        assert texts(path) == ["4", "3", "1", "0"]

    def test_the_path_is_there_at_every_instant(self, tmp_path):
        path = tmp_path / "run"
        write(path, "0", keep=3)
        seen: list[bool] = []
        for step in [*range(1, 9)] * 4:
            with faults(step, lambda: seen.append(path.exists())):
                write(path, str(step), keep=3)
        assert seen.count(True) == len(seen) > 20

    def test_a_file_system_without_links_keeps_copies(self, tmp_path, monkeypatch):
        def refused(*_, **__):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
        for number in range(4):
            write(tmp_path / "a.txt", str(number), keep=3)
        assert texts(tmp_path / "a.txt") == ["3", "2", "1"]
        assert names(tmp_path) == ["a.1.txt", "a.2.txt", "a.txt"]

    @pytest.mark.parametrize("keep", [0, -1, 1.5, True, "2"])
    def test_how_many_is_a_whole_number(self, tmp_path, keep):
        with pytest.raises(ValueError, match="keep: expected a whole number >= 1"):
            write(tmp_path / "a.txt", "new", keep)
        assert names(tmp_path) == []


def save(path: Path, number: int) -> None:
    write_arrays(path, {"a": [float(number)] * 100}, {"number": number}, keep=3)


def saved(path: Path) -> list[int]:
    """Return the numbers of all versions, each of which must be whole."""
    return [read_arrays(one)[1]["number"] for one in versions(path)]


@posix
@pytest.mark.parametrize(
    ("linked", "keep", "steps"),
    [
        (True, 1, "write fsync rename fsync"),
        (True, 2, "write fsync link rename rename fsync"),
        (
            False,
            2,
            "write fsync link fsync rename rename fsync",
        ),  # of a copy
    ],
)
def test_what_is_renamed_is_on_the_disk_and_so_is_the_name(
    tmp_path, monkeypatch, linked, keep, steps
):
    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    write(tmp_path / "a.txt", "old")
    if not linked:
        monkeypatch.setattr(os, "link", refused)
    with faults(0, full) as found:
        write(tmp_path / "a.txt", "new", keep)
    assert found.done == steps.split()


@pytest.mark.parametrize("earlier", range(4))
def test_a_disk_that_fails_leaves_the_old_files_or_the_new_whole(tmp_path, earlier):
    for k in count(1):
        path = tmp_path / str(k) / "run.safetensors"
        for number in range(earlier):
            save(path, number)
        before = saved(path)
        with faults(k, full) as found:
            said = ""
            try:
                save(path, 9)
            except OSError as error:
                said = str(error)
        assert said in ("", f"[Errno 28] No space left on device: '{path}'")
        assert not [name for name in names(path.parent) if name.startswith(".")]
        assert saved(path)[:1] in (before[:1], [9])
        assert set(before[:2]) <= set(saved(path))  # no version goes before the new one is there
        save(path, 10)
        assert saved(path)[0] == 10
        if len(found.done) < k:
            assert k > 3  # a write, the file's fsync, a rename, the folder's fsync
            break


def said_by(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def die_everywhere(folder: Path, earlier: int) -> None:
    """Let a child die at each step of a save, and see what it left: run in a process of its own."""
    for k in count(1):
        path = folder / str(k) / "run.safetensors"
        for number in range(earlier):
            save(path, number)
        before = saved(path)
        child = os.fork()
        if child == 0:
            with faults(k, lambda: os._exit(9)):
                save(path, 9)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert saved(path)[:1] in (before[:1], [9]), k
        assert set(before[:2]) <= set(saved(path)), k
        save(path, 10)
        after = saved(path)
        assert after[0] == 10, k
        assert len(set(after)) == len(after) == min(earlier + 1 + (9 in after), 3), k
        assert [p for p in path.parent.iterdir() if p.name.startswith(".")] == [], k
        if not died:
            assert k > 3
            print("all steps")
            return


@posix
@pytest.mark.parametrize("earlier", [0, 3])
def test_a_process_that_dies_leaves_them_whole_and_the_next_save_cleans_up(tmp_path, earlier):
    program = (
        "from tests.test_files import Path, die_everywhere\n"
        f"die_everywhere(Path({str(tmp_path)!r}), {earlier})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "all steps\n"


def run_under(folder: Path, lines: str) -> str:
    """Return what a program says that tries to save into a folder where an old file lies."""
    save(folder / "run.safetensors", 1)
    program = f"""
import os, resource
from pathlib import Path
from tests.test_files import names, save, saved
folder = Path({str(folder)!r})
{lines}
try:
    save(folder / "run.safetensors", 2)
except OSError as error:
    print(str(error).partition("] ")[2])
assert saved(folder / "run.safetensors") == [1]
assert names(folder) == ["run.safetensors"]
"""
    return said_by(program)


@posix
def test_a_limit_on_the_size_of_files_is_told_with_the_path(tmp_path):
    said = run_under(tmp_path, "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))")
    assert said == f"File too large: '{tmp_path / 'run.safetensors'}'\n"


@posix
def test_a_folder_that_may_not_be_written_is_told_with_the_path():
    lines = "folder.chmod(0o555)\nif os.getuid() == 0: os.seteuid(65534)"
    with tempfile.TemporaryDirectory() as folder:  # which others may enter, unlike pytest's
        said = run_under(Path(folder), lines)
        assert said == f"Permission denied: '{folder}/run.safetensors'\n"


@posix
def test_a_full_disk_is_told_with_the_path(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted")
    try:
        save(tmp_path / "run.safetensors", 1)
        with pytest.raises(OSError, match=r"No space left on device: '.*run\.safetensors'"):
            write_arrays(tmp_path / "run.safetensors", {"a": [0.0] * 10_000}, {})
        assert saved(tmp_path / "run.safetensors") == [1]
        assert names(tmp_path) == ["run.safetensors"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


class TestErrors:
    def test_an_error_about_another_file_keeps_its_name(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "a.txt"):
            (tmp_path / "elsewhere").read_bytes()

    @pytest.mark.parametrize(
        "error",
        [KeyError("x"), RecursionError("deep\n down"), MemoryError(), OSError("odd")],
        ids=repr,
    )
    def test_whatever_a_parser_raises_is_one_sentence_with_the_path(self, error):
        with (
            pytest.raises(ValueError, match=r"^a\.txt: no text \([^\n]+\)$"),
            reading("a.txt", "no text"),
        ):
            raise error

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (UnreadableError("a.txt: of its own"), r"^a\.txt: of its own$"),
            (OSError(5, "Input/output error"), r"Input/output error: 'a\.txt'$"),
        ],
    )
    def test_what_is_said_already_is_not_said_again(self, error, message):
        with pytest.raises(type(error), match=message), reading("a.txt", "no text"):
            raise error

    @posix
    def test_what_has_no_end_is_not_read(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (Path("/dev/zero"), tmp_path / "pipe"):
            with pytest.raises(ValueError, match=f"^{path}: expected a regular file, got a device"):
                contents(path)
        with pytest.raises(IsADirectoryError, match=str(tmp_path)):
            contents(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[" * 100_000, "nested too deeply"),
            ("[" + "0," * files.MAX_VALUES + "0]", f"more than {files.MAX_VALUES} values"),
            ("9" * 10_000, "digits"),
            ("{", "Expecting property name"),
        ],
        ids=["deep", "many", "long", "broken"],
    )
    def test_json_is_bounded(self, text, message):
        with pytest.raises(ValueError, match=message):
            json_value(text)
