from __future__ import annotations

import io
import os
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import pytest

from docrag.ingest.sources import SourceFile, find_sources, is_gone, local_copy, read_names
from docrag.types import Failure


def touch(path: Path, data: bytes = b"%PDF-1.7") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(*given: object) -> list[str]:
    return [found.name if isinstance(found, SourceFile) else f"! {found.message}" for found in find_sources(map(str, given))]


def the_failure(given: object) -> Failure:
    (found,) = find_sources([str(given)])
    assert isinstance(found, Failure)
    assert (found.stage, found.page_number, found.retriable) == ("source", None, True)
    return found


def test_file_folder_and_glob_lead_to_files_once_and_in_order(tmp_path: Path) -> None:
    b, a, deep = touch(tmp_path / "b.pdf"), touch(tmp_path / "a.PDF"), touch(tmp_path / "sub" / "deep.pdf")
    other = touch(tmp_path / "notes.txt")
    assert names(tmp_path) == [str(a), str(b), str(deep)]
    assert names(other, b, tmp_path) == [str(other), str(b), str(a), str(deep)]
    assert names(tmp_path / "*.pdf") == [str(b)]
    assert names(tmp_path / "**" / "*.pdf") == [str(b), str(deep)]
    assert names(tmp_path / "s*") == [str(deep)]


def test_a_file_is_described_by_size_and_modification_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.pdf", b"12345")
    os.utime(path, ns=(7, 123_456_789_123))
    assert list(find_sources([str(path)])) == [SourceFile(str(path), 5, "123456789123")]


def test_relative_names_become_full_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "a.pdf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("a.pdf", "./a.pdf", "x/../a.pdf", "~/a.pdf") == [str(path)]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.pdf", "FileNotFoundError", "No such file or directory"),
        ("", "EmptyName", "an empty name"),
        ("  ", "EmptyName", "an empty name"),
        ("empty", "SourceMissing", "no PDF there"),
        ("*.nothing", "SourceMissing", "no PDF there"),
        ("loop", "OSError", "Too many levels of symbolic links"),
        ("dangling", "FileNotFoundError", "No such file or directory"),
        ("fifo", "NotAFile", "not a file"),
        ("nul\0byte", "ValueError", "can't be listed: embedded null byte"),
    ],
)
def test_what_can_not_be_had_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    failure = the_failure(name)
    assert (failure.error, failure.message) == (error, message)
    assert failure.hint


def test_one_bad_name_does_not_stop_the_others(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.pdf")
    assert names(tmp_path / "gone.pdf", path, "nofs://x/y.pdf")[:2] == ["! No such file or directory", str(path)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_a_failure_beside_the_rest(tmp_path: Path) -> None:
    path, closed = touch(tmp_path / "a.pdf"), touch(tmp_path / "closed" / "b.pdf").parent
    closed.chmod(0)
    try:
        assert names(tmp_path) == [str(path), "! Permission denied"]
        assert not is_gone(str(closed / "b.pdf"))
    finally:
        closed.chmod(0o700)


def test_links_that_go_round_end(tmp_path: Path) -> None:
    path = touch(tmp_path / "library" / "a.pdf")
    (tmp_path / "library" / "again").symlink_to("..")
    (tmp_path / "library" / "self").symlink_to(".")
    assert names(tmp_path / "library") == [str(path)]
    linked = touch(tmp_path / "elsewhere" / "b.pdf")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(linked.parent)
    (tmp_path / "other" / "same").symlink_to(linked.parent)
    assert names(tmp_path / "other") == [str(tmp_path / "other" / "link" / "b.pdf")]


def test_the_copies_inside_an_index_are_no_sources(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.pdf")
    touch(tmp_path / "library" / "docrag.json", b"{}")
    touch(tmp_path / "library" / "blobs" / "ab" / "abcd.pdf")
    assert names(tmp_path) == [str(path)]


ODD = [
    b"with space.pdf",
    b"new\nline.pdf",
    b"\xff\xfe.pdf",
    "报告.pdf".encode(),
    "تقرير é\u2028.pdf".encode(),
    b"[x]*?.pdf",
    b"-.pdf",
]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for name in ODD:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    wanted = {os.fsencode(tmp_path) + b"/" + name for name in ODD}
    assert {os.fsencode(name) for name in names(tmp_path)} == wanted
    assert {os.fsencode(name) for name in names(*map(os.fsdecode, wanted))} == wanted
    listed = read_names(io.BytesIO(b"\0".join(sorted(wanted)) + b"\0"))
    assert {os.fsencode(name) for name in names(*listed)} == wanted


def test_a_list_has_a_name_a_line_unless_it_holds_nul() -> None:
    assert read_names(io.BytesIO("a b.pdf\r\n\n \n\u2028é\x0b.pdf\nlast".encode())) == ("a b.pdf", "\u2028é\x0b.pdf", "last")
    assert read_names(io.BytesIO(b"a\nb.pdf\0c.pdf\0")) == ("a\nb.pdf", "c.pdf")
    assert read_names(io.BytesIO(b"")) == ()


def test_a_long_list_of_mostly_missing_and_repeated_names(tmp_path: Path) -> None:
    """100,000 took 1.7 s and 48 MiB."""
    there = [touch(tmp_path / f"{number}.pdf") for number in range(10)]
    listed = [f"{tmp_path}/missing/{number % 9_000}.pdf".encode() for number in range(10_000)]
    found = list(find_sources(read_names(io.BytesIO(b"\n".join([*listed, *(str(path).encode() for path in there * 10)])))))
    assert [source.name for source in found if isinstance(source, SourceFile)] == list(map(str, there))
    assert sum(isinstance(source, Failure) for source in found) == 9_000


def test_urls_files_folders_and_globs() -> None:
    remote = fsspec.filesystem("memory")
    remote.pipe({"/shelf/a.pdf": b"one", "/shelf/deep/b.pdf": b"three", "/shelf/notes.txt": b""})
    try:
        assert names("memory://shelf") == ["memory:///shelf/a.pdf", "memory:///shelf/deep/b.pdf"]
        assert names("memory://shelf/*.pdf") == ["memory:///shelf/a.pdf"]
        (found,) = find_sources(["memory://shelf/deep/b.pdf"])
        assert isinstance(found, SourceFile)
        assert (found.name, found.size, found.is_remote) == ("memory://shelf/deep/b.pdf", 5, True)
        assert found.version
        with local_copy(found) as path:
            assert path.read_bytes() == b"three"
        assert not path.exists()
        assert not is_gone("memory://shelf/a.pdf")
        assert is_gone("memory://shelf/c.pdf")
        assert the_failure("memory://shelf/c.pdf").message == "no such file"
        assert the_failure("memory://shelf/*.doc").message == "no PDF there"
    finally:
        remote.rm("/shelf", recursive=True)


def test_urls_that_no_file_system_serves() -> None:
    failure = the_failure("nofs://host/a.pdf")
    assert failure.error == "EnvironmentFault"
    assert failure.message == "no file system for nofs://host/a.pdf: Protocol not known: nofs"
    assert not is_gone("nofs://host/a.pdf")


class _Web(SimpleHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        status = {"/there.pdf": 200, "/closed.pdf": 403, "/broken.pdf": 503, "/gone.pdf": 410}.get(self.path, 404)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_on_the_web_what_is_out_of_reach_is_not_gone() -> None:
    """Or `--prune` would delete all documents from a server that is down for a moment."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        gone = {name: is_gone(f"{url}/{name}.pdf") for name in ("there", "closed", "broken", "gone", "missing")}
        assert gone == {"there": False, "closed": False, "broken": False, "gone": True, "missing": True}
        assert the_failure(f"{url}/missing.pdf").message == "no such file"
        failure = the_failure(f"{url}/closed.pdf")
        assert failure.error == "ClientResponseError"
        assert "403" in failure.message
        server.shutdown()
    assert not is_gone(f"{url}/there.pdf")
    assert the_failure(f"{url}/there.pdf").message.startswith("can't be looked at: Cannot connect to host 127.0.0.1")


def test_chained_urls(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/a.pdf", b"inside")
        archive.writestr("in/b.pdf", b"beside")
    chain = f"::file://{tmp_path}/all.zip"
    assert names(f"zip://in{chain}") == [f"zip://in/a.pdf{chain}", f"zip://in/b.pdf{chain}"]
    (found,) = find_sources([f"zip://in/a.pdf{chain}"])
    assert isinstance(found, SourceFile)
    with local_copy(found) as path:
        assert path.read_bytes() == b"inside"


def test_local_copy_of_a_local_file_is_the_file(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.pdf")
    with local_copy(SourceFile(str(path), 8, "1")) as found:
        assert found == path
    with pytest.raises(OSError, match=r"x\.pdf"), local_copy(SourceFile("memory://no/x.pdf", 8, "1")):
        pass


def test_what_is_gone(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.pdf")
    assert not is_gone(str(path))
    assert is_gone(str(tmp_path / "b.pdf"))
    assert is_gone(str(path / "below-a-file.pdf"))
    assert not is_gone(str(tmp_path / ("x" * 300)))  # too long a name to tell
