"""Where data sets come from: found on disk, downloaded, verified, refused."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from xpnet.data import catalog, idx
from xpnet.data.catalog import DownloadError, Source
from xpnet.data.layouts import Digest, IdxFile, IdxFiles

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
ARRAYS = {
    IMAGES: np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8),
    LABELS: np.arange(50, dtype=np.uint8) % 10,
}
PAYLOADS = {
    IMAGES: bytes([0, 0, 8, 3, 0, 0, 0, 50, 0, 0, 0, 8, 0, 0, 0, 8]) + ARRAYS[IMAGES].tobytes(),
    LABELS: bytes([0, 0, 8, 1, 0, 0, 0, 50]) + ARRAYS[LABELS].tobytes(),
}
PACKED = {name: gzip.compress(payload, mtime=0) for name, payload in PAYLOADS.items()}
REPACKED = {name: gzip.compress(payload, 1, mtime=7) for name, payload in PAYLOADS.items()}
HTML = b"<!DOCTYPE html><html><body>Access denied</body></html>"


def source(*mirrors: str, of: str = "payload") -> Source:
    """Return a tiny data set of two files with digests by hashlib alone."""
    published = PAYLOADS if of == "payload" else PACKED
    files = tuple(
        IdxFile(name, array.shape, Digest("md5", of, hashlib.md5(published[name]).hexdigest()))
        for name, array in ARRAYS.items()
    )
    return Source("tiny", IdxFiles(files), mirrors, ("tiny", "TINY/raw"))


@dataclass
class Reply:
    """What a server answers: by default a file as it is, with its true length."""

    body: bytes
    status: int = 200
    length: int | None = None  # the Content-Length to claim; -1 for none
    wait: float = 0


@dataclass
class Mirror:
    """A running server: each path's reply, and which paths were asked for."""

    url: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def serve(monkeypatch):
    """Return a function that starts a server for some replies and returns its Mirror."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with contextlib.ExitStack() as stack:

        def start(**changed: Reply) -> Mirror:
            mirror = Mirror(replies={name: Reply(raw) for name, raw in PACKED.items()})
            for kind, reply in changed.items():
                mirror.replies[{"images": IMAGES, "labels": LABELS}[kind]] = reply

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    name = self.path.rpartition("/")[2]
                    mirror.asked.append(name)
                    reply = mirror.replies[name]
                    time.sleep(reply.wait)
                    self.send_response(reply.status)
                    if "gzip" in self.headers.get("Accept-Encoding", ""):
                        # as some hosts do for .gz files: a client then unpacks what it stores
                        self.send_header("Content-Encoding", "gzip")
                    if reply.length != -1:
                        self.send_header("Content-Length", str(reply.length or len(reply.body)))
                    self.end_headers()
                    with contextlib.suppress(ConnectionError):  # the client may have enough
                        self.wfile.write(reply.body)

                def log_message(self, *_):
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.handle_error = lambda *_: None
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            mirror.url = f"http://127.0.0.1:{server.server_port}/"
            return mirror

        yield start


@pytest.fixture
def nobody() -> str:
    """Return the URL of a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {".lock"}


def flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 16]) + raw[middle + 1 :]


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, raw in contents.items():
        (folder / name).write_bytes(raw)


# What the catalog holds


LIKE_MNIST = ("mnist", "fashion-mnist", "kmnist")
EMNIST_CLASSES = {
    "emnist-byclass": 62, "emnist-bymerge": 47, "emnist-balanced": 47, "emnist-letters": 26,
    "emnist-digits": 10, "emnist-mnist": 10,
}  # fmt: skip


def test_the_catalog_knows_these_sets():
    assert tuple(catalog.SOURCES) == (*LIKE_MNIST, *EMNIST_CLASSES, "cifar-10")
    for name, entry in catalog.SOURCES.items():
        assert entry.name == name
        assert entry.class_names is None or len({*entry.class_names}) == entry.classes
        assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in entry.mirrors)
        for file in entry.files:
            assert len(file.digest.hexdigest) == 2 * hashlib.new(file.digest.algorithm).digest_size


def test_sets_like_mnist_are_four_files_of_sixty_and_ten_thousand_samples():
    for entry in map(catalog.SOURCES.get, LIKE_MNIST):
        assert (entry.classes, entry.shape) == (10, (1, 28, 28))
        assert [(file.name, file.payload_bytes) for file in entry.files] == [
            ("train-images-idx3-ubyte.gz", 47_040_016),
            ("train-labels-idx1-ubyte.gz", 60_008),
            ("t10k-images-idx3-ubyte.gz", 7_840_016),
            ("t10k-labels-idx1-ubyte.gz", 10_008),
        ]


def test_every_split_of_emnist_is_in_one_archive():
    for name, classes in EMNIST_CLASSES.items():
        entry = catalog.SOURCES[name]
        assert (entry.classes, entry.shape) == (classes, (1, 28, 28))
        (file,) = entry.files
        assert (file.name, entry.mirrors[0] + file.name) == (
            "gzip.zip", "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
        )  # fmt: skip
        assert file.digest.hexdigest == "58c8d27c78d21e728a6bc7b3cc06412e"
        assert entry.folders == ("emnist", "EMNIST/raw")


def test_classes_of_emnist_are_called_by_their_letters():
    names = {name: catalog.SOURCES[name].class_names for name in EMNIST_CLASSES}
    assert names["emnist-letters"] == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert names["emnist-byclass"][10] == "A"
    assert names["emnist-byclass"][36:] == tuple("abcdefghijklmnopqrstuvwxyz")
    assert names["emnist-balanced"] == names["emnist-bymerge"]
    assert names["emnist-balanced"][36:] == tuple("abdefghnqrt")
    assert names["emnist-digits"] is None


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        ValueError,
        match=r"^data set: expected 'mnist', 'fashion-mnist', .* or 'cifar-10', got 'minst': did",
    ):
        catalog.fetch("minst")


def test_importing_the_data_package_imports_nothing_for_downloads():
    heavy = ["pooch", "requests", "filelock", "tqdm", "urllib3"]
    code = f"import sys, xpnet.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# What lies in the folder already


@pytest.mark.parametrize("folder", ["tiny", "TINY/raw"])
@pytest.mark.parametrize("plain", [False, True])
def test_files_are_accepted_as_they_lie_with_no_network(tmp_path, nobody, folder, plain):
    contents = {n.removesuffix(".gz"): p for n, p in PAYLOADS.items()} if plain else REPACKED
    put(tmp_path / folder, contents)
    paths = catalog.fetch(source(nobody), tmp_path)
    assert paths == {
        name: tmp_path / folder / (name.removesuffix(".gz") if plain else name) for name in ARRAYS
    }
    for file in source().files:
        np.testing.assert_array_equal(file.read(paths[file.name]), ARRAYS[file.name])
    assert files_in(tmp_path) == set(contents)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("kmnist", "KMNIST/raw"),
    ],
)
def test_the_layout_that_torchvision_leaves_is_known(tmp_path, name, folder):
    names = [file.name.removesuffix(".gz") for file in catalog.SOURCES[name].files]
    put(tmp_path / folder, dict.fromkeys(names, b""))
    assert [path.name for path in catalog.fetch(name, tmp_path).values()] == names


def test_the_environment_names_the_folder_unless_an_argument_does(tmp_path, monkeypatch, nobody):
    put(tmp_path / "environment/tiny", PACKED)
    put(tmp_path / "argument/tiny", PACKED)
    monkeypatch.setenv("XPNET_DATA", str(tmp_path / "environment"))
    assert catalog.fetch(source(nobody))[IMAGES].is_relative_to(tmp_path / "environment")
    argument = catalog.fetch(source(nobody), tmp_path / "argument")
    assert argument[IMAGES].is_relative_to(tmp_path / "argument")


def test_a_home_folder_in_the_environment_is_understood(tmp_path, monkeypatch, nobody):
    put(tmp_path / "data/tiny", PACKED)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XPNET_DATA", "~/data")
    assert catalog.fetch(source(nobody))[IMAGES] == tmp_path / "data/tiny" / IMAGES


def test_the_default_folder_is_the_users_cache(tmp_path, monkeypatch, nobody):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("XPNET_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    put(tmp_path / "cache/xpnet/tiny", PACKED)
    assert catalog.fetch(source(nobody))[IMAGES] == tmp_path / "cache/xpnet/tiny" / IMAGES


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (PACKED[IMAGES][:-40], "the gzip data is truncated: it breaks off after "),
        (flipped(PACKED[IMAGES]), "the gzip data is damaged ("),
        (HTML, "expected an IDX file, but it looks like an HTML page"),
        (
            flipped(PAYLOADS[IMAGES]),
            "the md5 digest of its payload is not that of the published file",
        ),
        (
            PACKED[LABELS],
            "expected a uint8 array of shape (50, 8, 8), got uint8 of shape (50,)",
        ),
        (gzip.compress(bytes(10**6)), "decompresses to more than the 3216 bytes allowed"),
        (bytes(10**6), "expected at most 68752 bytes, got 1000000"),
    ],
    ids=["truncated", "bit flip", "HTML", "other content", "other file", "bomb", "too long"],
)
def test_a_damaged_local_file_is_named_and_kept(tmp_path, nobody, raw, reason):
    put(tmp_path / "tiny", {**PACKED, IMAGES: raw})
    path = catalog.fetch(source(nobody), tmp_path)[IMAGES]
    message = re.escape(f"{path}: {reason}") + ".*; delete the file to download it again$"
    with pytest.raises(ValueError, match=f"^{message}"):
        source().files[0].read(path)
    assert path.read_bytes() == raw


def test_a_gzip_digest_says_nothing_of_a_file_packed_anew_but_its_shape_is_checked(tmp_path):
    file = source(of="gzip").files[0]
    path = tmp_path / IMAGES
    for raw in (PACKED[IMAGES], REPACKED[IMAGES], PAYLOADS[IMAGES]):
        path.write_bytes(raw)
        np.testing.assert_array_equal(file.read(path), ARRAYS[IMAGES])
    idx.write(path, ARRAYS[IMAGES][:49])
    with pytest.raises(ValueError, match=r"got uint8 of shape \(49, 8, 8\); delete the file"):
        file.read(path)
    idx.write(path, ARRAYS[IMAGES].view(np.int8))
    with pytest.raises(ValueError, match=r"got int8 of shape \(50, 8, 8\); delete the file"):
        file.read(path)


# Downloads


@pytest.mark.parametrize("of", ["payload", "gzip"])
def test_missing_files_are_downloaded_once(tmp_path, serve, of):
    mirror = serve()
    paths = catalog.fetch(source(mirror.url, of=of), tmp_path)
    assert paths == {name: tmp_path / "tiny" / name for name in ARRAYS}
    assert {name: path.read_bytes() for name, path in paths.items()} == PACKED
    assert catalog.fetch(source(mirror.url, of=of), tmp_path) == paths
    assert mirror.asked == [IMAGES, LABELS]
    assert files_in(tmp_path) == set(ARRAYS)


def test_only_what_is_missing_is_downloaded(tmp_path, serve):
    put(tmp_path / "TINY/raw", {LABELS: PACKED[LABELS]})
    mirror = serve()
    paths = catalog.fetch(source(mirror.url), tmp_path)
    assert mirror.asked == [IMAGES]
    assert paths == {
        IMAGES: tmp_path / "tiny" / IMAGES,
        LABELS: tmp_path / "TINY/raw" / LABELS,
    }
    assert list(paths) == [IMAGES, LABELS]


FAULTS = {
    "truncated file": (
        Reply(PACKED[IMAGES][:-40]),
        "the gzip data is truncated: it breaks off after ",
    ),
    "connection cut": (Reply(PACKED[IMAGES][:100], length=len(PACKED[IMAGES])), "100 bytes read"),
    "HTML page": (
        Reply(HTML),
        f"{IMAGES}: expected an IDX file, but it looks like an HTML page "
        f"(probably the error page of a download)",
    ),
    "packed HTML page": (Reply(gzip.compress(HTML)), "it looks like an HTML page"),
    "bit flip": (Reply(flipped(PACKED[IMAGES])), f"{IMAGES}: the gzip data is damaged ("),
    "other content": (
        Reply(gzip.compress(flipped(PAYLOADS[IMAGES]))),
        f"{IMAGES}: the md5 digest of its payload is not that of the published file",
    ),
    "other file": (
        Reply(PACKED[LABELS]),
        f"{IMAGES}: expected a uint8 array of shape (50, 8, 8), got uint8 of shape (50,)",
    ),
    "not found": (Reply(b"gone", status=404), "HTTP 404 Not Found"),
    "server error": (Reply(HTML, status=503), "HTTP 503 Service Unavailable"),
    "too long by its header": (
        Reply(PACKED[IMAGES], length=10**9),
        f"{IMAGES}: expected at most 68752 bytes, got 1000000000",
    ),
    "too long without a header": (
        Reply(bytes(10**6), length=-1),
        f"{IMAGES}: expected at most 68752 bytes, got more",
    ),
    "gzip bomb": (
        Reply(gzip.compress(bytes(2**24))),
        f"{IMAGES}: decompresses to more than the 3216 bytes allowed",
    ),
    "silence": (Reply(b"", wait=0.5), "timed out"),
    "empty": (Reply(b""), f"{IMAGES}: expected an IDX file, but it is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_mirror_is_refused_by_name_and_nothing_is_kept(
    tmp_path, serve, monkeypatch, fault
):
    monkeypatch.setattr(catalog, "_READ_SECONDS", 0.2 if fault == "silence" else 30)
    reply, reason = FAULTS[fault]
    mirror = serve(images=reply)
    with pytest.raises(DownloadError) as caught:
        catalog.fetch(source(mirror.url), tmp_path)
    message = str(caught.value)
    assert message.startswith(f"tiny: could not download {IMAGES}, {LABELS}:\n")
    line = next(line for line in message.splitlines() if mirror.url in line)
    assert line.startswith(f"  {mirror.url}{IMAGES}: ")
    assert reason in line
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_faulty_mirror_the_next_is_tried_and_its_file_used(
    tmp_path, serve, monkeypatch, fault
):
    monkeypatch.setattr(catalog, "_READ_SECONDS", 0.2 if fault == "silence" else 30)
    faulty, good = serve(images=FAULTS[fault][0]), serve()
    paths = catalog.fetch(source(faulty.url, good.url), tmp_path)
    assert {name: path.read_bytes() for name, path in paths.items()} == PACKED
    assert (faulty.asked, good.asked) == ([IMAGES, LABELS], [IMAGES])
    assert files_in(tmp_path) == set(ARRAYS)


@pytest.mark.parametrize("raw", [REPACKED[IMAGES], PAYLOADS[IMAGES]], ids=["gzip", "plain"])
def test_an_honest_mirror_may_pack_otherwise_where_the_payload_is_known(tmp_path, serve, raw):
    paths = catalog.fetch(source(serve(images=Reply(raw)).url), tmp_path)
    assert paths[IMAGES].read_bytes() == raw
    np.testing.assert_array_equal(source().files[0].read(paths[IMAGES]), ARRAYS[IMAGES])


def test_a_download_must_have_the_gzip_digest_where_only_that_is_known(tmp_path, serve):
    mirror = serve(images=Reply(REPACKED[IMAGES]))
    message = f"{IMAGES}: the md5 digest of its gzip is not that of the published file"
    with pytest.raises(DownloadError, match=message):
        catalog.fetch(source(mirror.url, of="gzip"), tmp_path)
    assert files_in(tmp_path) == set()


def test_offline_the_error_says_what_is_needed_where_and_why(tmp_path, nobody):
    with pytest.raises(DownloadError) as caught:
        catalog.fetch(source(nobody, "http://no.such.host.invalid/"), tmp_path)
    first, refused, unknown, cure = str(caught.value).splitlines()
    assert first == f"tiny: could not download {IMAGES}, {LABELS}:"
    assert refused == f"  {nobody}{IMAGES}: {os.strerror(errno.ECONNREFUSED)}"
    assert re.match(rf"  http://no\.such\.host\.invalid/{IMAGES}: \w[\w .-]+$", unknown)
    assert cure == (
        f"  Put these files into {tmp_path / 'tiny'}, or name a folder that holds them as tiny/ "
        f"or TINY/raw/ with --data-dir or the environment variable XPNET_DATA."
    )
    assert isinstance(caught.value, OSError)


def test_the_error_names_only_the_files_that_are_missing(tmp_path, nobody):
    put(tmp_path / "tiny", {IMAGES: PACKED[IMAGES]})
    with pytest.raises(DownloadError, match=f"^tiny: could not download {LABELS}:"):
        catalog.fetch(source(nobody), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, serve):
    (tmp_path / "tiny").write_text("a file where the folder should be")
    mirror = serve()
    reason = re.escape(f"{tmp_path / 'tiny'} cannot be written (File exists)")
    with pytest.raises(DownloadError, match=f"(?m)^  {reason}$"):
        catalog.fetch(source(mirror.url), tmp_path)
    assert mirror.asked == []


def test_what_a_killed_process_left_is_cleared_and_never_used(tmp_path, serve):
    put(tmp_path / "tiny", {f".{IMAGES}.0a1b2c3d.part": PACKED[IMAGES][:50]})
    catalog.fetch(source(serve().url), tmp_path)
    assert files_in(tmp_path) == set(ARRAYS)


def test_two_processes_download_each_file_once(tmp_path, serve):
    mirror = serve(images=Reply(PACKED[IMAGES], wait=0.3), labels=Reply(PACKED[LABELS], wait=0.3))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        jobs = [pool.submit(catalog.fetch, source(mirror.url), tmp_path) for _ in range(2)]
        first, second = [job.result(timeout=60) for job in jobs]
    assert first == second
    assert Counter(mirror.asked) == {IMAGES: 1, LABELS: 1}
    assert files_in(tmp_path) == set(ARRAYS)


def test_two_threads_download_each_file_once(tmp_path, serve):
    mirror = serve(images=Reply(PACKED[IMAGES], wait=0.3))
    threads = [
        threading.Thread(target=catalog.fetch, args=(source(mirror.url), tmp_path))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(mirror.asked) == {IMAGES: 1, LABELS: 1}


def test_progress_is_shown_on_a_terminal_or_when_asked_for(tmp_path, serve, capsys):
    catalog.fetch(source(serve().url), tmp_path / "quiet")
    assert capsys.readouterr().err == ""
    catalog.fetch(source(serve().url), tmp_path / "shown", progress=True)
    assert IMAGES in capsys.readouterr().err


# The real files


@pytest.fixture
def data_dir() -> Path:
    if not os.environ.get("XPNET_DATA"):
        pytest.skip("XPNET_DATA names no folder")
    return Path(os.environ["XPNET_DATA"])


@pytest.mark.mnist
def test_the_real_mnist_files_have_their_digests(data_dir):
    paths = catalog.fetch("mnist", data_dir)
    for file in catalog.SOURCES["mnist"].files:
        assert file.read(paths[file.name]).shape == file.shape
        wrong = replace(file, digest=replace(file.digest, hexdigest="0" * 64))
        with pytest.raises(ValueError, match="the sha256 digest of its payload is not that of"):
            wrong.read(paths[file.name])
