"""Files and streams that commands write: failures keep the existing file, and a path that cannot be written
is refused before the work."""

import io
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from adaedl.errors import UserError
from adaedl.system import interrupts
from adaedl.system.files import Output, check_writable, exclusive, make_folder, replacing, write_file
from adaedl.system.interrupts import Interrupted
from adaedl.system.streams import lenient_streams

PROJECT = Path(__file__).parents[2]


@contextmanager
def as_normal_user(folder: Path):
    """Run the block as a non-root user; `folder` and the folders above it are open to all users."""
    if os.geteuid():
        yield
        return
    for each in (folder, *folder.parents):
        if each != Path("/") and each != Path("/tmp"):
            each.chmod(each.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if "unfinished" in name]


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("before")
    file.chmod(0o640)
    write_file(file, b"after")
    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_default_permissions(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_file(tmp_path / "r.json", b"new")
        (tmp_path / "plain").write_text("new")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("r.json", "plain")}
    assert modes == {0o666 & ~mask}


@pytest.mark.parametrize("existed", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path, existed):
    (tmp_path / "there").mkdir()
    if existed:
        (tmp_path / "there" / "r.json").write_text("before")
    link = tmp_path / "r.json"
    link.symlink_to("there/r.json")
    Output(link).write("after")
    assert link.is_symlink()
    assert (tmp_path / "there" / "r.json").read_text() == "after"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_keeps_the_existing_file(tmp_path, error):
    file = tmp_path / "r.json"
    file.write_text("before")

    def break_off():
        with replacing(file) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        break_off()
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_full_disk_keeps_the_existing_file(small_disk):
    file = small_disk.folder / "r.json"
    file.write_text("before")
    output = Output(file)
    small_disk.fill()
    with pytest.raises(UserError, match=r"Cannot write .*r\.json: (No space left on device|File too large)"):
        output.write("x" * 100_000)
    small_disk.make_room()
    assert file.read_text() == "before"
    assert leftovers(small_disk.folder) == []
    write_file(file, b"x" * 100_000)


def test_an_existing_file_in_a_folder_without_write_permission_is_written(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("before, and longer")
    file.chmod(0o666)
    with as_normal_user(tmp_path):
        if os.geteuid() == tmp_path.stat().st_uid:
            tmp_path.chmod(0o555)
        Output(file).write("after")
        with pytest.raises(UserError, match="Permission denied"):
            Output(tmp_path / "new.json")
    tmp_path.chmod(0o755)
    assert file.read_text() == "after"


def test_a_read_only_file_is_not_replaced(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("before")
    file.chmod(0o444)
    with as_normal_user(tmp_path), pytest.raises(UserError, match="Permission denied"):
        Output(file)
    assert file.read_text() == "before"


def missing(folder: Path) -> Path:
    return folder / "nosuch" / "r.json"


def a_folder(folder: Path) -> Path:
    return folder


def under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "r.json"


def too_long(folder: Path) -> Path:
    return folder / ("r" * 300)


def a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def a_pipe_without_reader(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket has to be short
        bound.bind("socket")
        os.chdir(here)
    return folder / "socket"


def open_only_for_reading(folder: Path) -> Path:
    return Path(f"/dev/fd/{os.open('/dev/null', os.O_RDONLY)}")


def not_open(folder: Path) -> Path:
    return Path("/dev/fd/987654")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (missing, "No such file or directory"),
        (a_folder, "Is a directory"),
        (under_a_file, "Not a directory"),
        (too_long, "File name too long"),
        (a_loop, "Too many levels of symbolic links"),
        (a_pipe_without_reader, "nothing reads from this pipe; start its reader first"),
        (a_socket, "it is not a file; name a file"),
        (open_only_for_reading, "Bad file descriptor"),
        (not_open, "Bad file descriptor"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path, place, reason):
    path = place(tmp_path)
    before = os.listdir(tmp_path)
    with pytest.raises(UserError) as refusal:
        Output(path)
    assert str(refusal.value) == f"Cannot write {path}: {reason}."
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("path", ["/dev/null", "/dev/stdout", "-", "/dev/fd/1"])
def test_a_path_that_is_read_again_must_be_a_file(path):
    with pytest.raises(UserError, match="it is not a file; name a file"):
        check_writable(Path(path))


def test_a_pipe_with_a_reader_receives_everything(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = "é" * 200_000  # more than a pipe holds
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    while True:
        try:
            output = Output(tmp_path / "pipe")
        except UserError:  # the reader has not opened the pipe yet
            continue
        break
    output.write(content)
    reader.join(60)
    assert read == [content]


def test_a_pipe_whose_reader_is_gone_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output = Output(tmp_path / "pipe")
    os.close(reader)
    with pytest.raises(UserError, match="Broken pipe"):
        output.write("too late")


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_several_names(path, capfd):
    output = Output(path)
    assert output.is_standard_output
    output.write("whole")
    assert capfd.readouterr().out == "whole"


def test_a_shells_file_descriptor_is_written_from_its_current_position(tmp_path):
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"before ")
    Output(f"/dev/fd/{descriptor}").write("after")
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == "before after"


def test_a_full_device_is_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"Cannot write /dev/full: No space left on device\."):
        Output("/dev/full").write("something")


def test_a_folder_that_cannot_be_created_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot create the folder .*file/study: Not a directory"):
        make_folder(tmp_path / "file" / "study")


def test_a_file_has_one_writer_at_a_time_even_through_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to("s.csv")
    program = (
        "import sys, pathlib; from adaedl.system.files import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s.csv")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout.readline() == b"mine\n"
        for name in ("s.csv", "link.csv"):
            with pytest.raises(UserError, match="Another process is writing"), exclusive(tmp_path / name):
                pass
        other.kill()
        other.wait()
    with exclusive(tmp_path / "s.csv"):
        pass


# Streams


@pytest.fixture
def printed(monkeypatch):
    """A function that prints a text with an encoding and returns the bytes."""

    def print_with(encoding: str, text: str) -> bytes:
        content = io.BytesIO()
        with monkeypatch.context() as changed:
            changed.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
            with lenient_streams() as out:
                print(text)
            assert out.error is None
        return content.getvalue()

    return print_with


@pytest.mark.parametrize(
    ("encoding", "bytes_"),
    [
        ("ascii", b"2\\xd7 \\u03b2 \\U0001f600 \\udce9\n"),
        ("cp1252", b"2\xd7 \\u03b2 \\U0001f600 \\udce9\n"),
        ("utf-8", "2× β 😀 ".encode() + b"\\udce9\n"),
    ],
)
def test_characters_that_a_terminal_lacks_are_escaped(printed, encoding, bytes_):
    assert printed(encoding, "2× β 😀 \udce9") == bytes_


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_closed_pipe_does_not_stop_the_program(monkeypatch, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "wb", 0) if unbuffered else os.fdopen(writer, "wb")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, "utf-8", write_through=unbuffered))
    with lenient_streams() as out:
        for _ in range(10_000):
            print("a line that nobody reads")
    assert isinstance(out.error, BrokenPipeError)
    sys.stdout.close()  # as Python does at its end


def test_printing_to_closed_or_missing_streams_does_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with lenient_streams():
        print("one")
        print("two", file=sys.stderr, flush=True)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_raises_one_exception_with_its_exit_status(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, interrupts.raised():
        signal.raise_signal(number)
    assert caught.value.status == 128 + number
    assert signal.getsignal(number) == before


def test_a_held_signal_waits_and_a_second_one_does_not():
    reached = []

    def held():
        with interrupts.raised(), interrupts.held():
            signal.raise_signal(signal.SIGINT)
            reached.append(interrupts.pending())
            signal.raise_signal(signal.SIGTERM)
            reached.append("never")

    with pytest.raises(Interrupted) as caught:
        held()
    assert (reached, caught.value.status) == ([True], 143)


def test_a_held_signal_is_raised_at_a_check_or_at_the_end():
    reached = []

    def held(check):
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            check()
            reached.append(check)

    with interrupts.raised():
        for check in (interrupts.check, interrupts.pending):
            with pytest.raises(Interrupted):
                held(check)
        assert reached == [interrupts.pending]
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            assert interrupts.take().status == 130


def test_a_signal_waits_until_a_file_is_written(tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def interrupted(path, content):
        signal.raise_signal(signal.SIGINT)
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with interrupts.raised(), pytest.raises(Interrupted):
        write_file(tmp_path / "r.json", b"whole")
    assert (tmp_path / "r.json").read_text() == "whole"


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.raised():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
