"""Following a file: growth, rotation, truncation, and lines as they come."""

import os

import pytest

from snakepit_bridge.examples._follow import BLOCK, MOST_LINE, Follower, NotAFile


class Log:
    """A log file and its writer."""

    def __init__(self, path):
        self.path = path

    def write(self, data):
        with open(self.path, "ab") as file:
            file.write(data)

    def rotate(self):
        old = f"{self.path}.1"
        os.replace(self.path, old)
        return Log(old)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "app.log")


@pytest.fixture
def follow(log):
    followers = []

    def follow(**options):
        followers.append(Follower(str(log.path), **options))
        return followers[-1]

    yield follow
    for follower in followers:
        follower.close()


def read(follower):
    return [line for lines in follower.read() for line in lines]


def test_what_is_there_at_the_beginning_is_left_out(log, follow):
    log.write(b"old\n")
    follower = follow()
    assert read(follower) == []
    log.write(b"new\nnewer\n")
    assert read(follower) == ["new", "newer"]
    assert read(follower) == []


def test_or_read_when_it_is_asked_for(log, follow):
    log.write(b"old\n")
    assert read(follow(from_start=True)) == ["old"]


def test_a_file_that_comes_later_is_read_from_its_start(log, follow):
    follower = follow()
    assert read(follower) == []
    log.write(b"first\n")
    assert read(follower) == ["first"]
    assert follower.rotations == 0


def test_a_line_is_given_when_its_end_has_come(log, follow):
    follower = follow()
    log.write(b"one\ntw")
    assert read(follower) == ["one"]
    log.write(b"o")
    assert read(follower) == []
    log.write(b"\r\nthree")
    assert read(follower) == ["two"]
    assert follower.rest() == ["three"]
    assert follower.rest() == []


def test_a_rotated_file_is_read_to_its_end_before_the_next_one(log, follow):
    log.write(b"")
    follower = follow()
    log.write(b"a\n")
    assert read(follower) == ["a"]
    old = log.rotate()
    old.write(b"b\nc")
    assert read(follower) == ["b"]
    old.write(b"d")
    log.write(b"e\n")
    assert read(follower) == ["cd", "e"]
    assert (follower.rotations, follower.truncations) == (1, 0)
    log.write(b"f\n")
    assert read(follower) == ["f"]


def test_a_file_that_is_removed_and_made_again_is_another_one(log, follow):
    log.write(b"a\n")
    follower = follow(from_start=True)
    assert read(follower) == ["a"]
    # Same length, and on some file systems the same inode, if it were free.
    log.path.unlink()
    log.write(b"b\n")
    assert read(follower) == ["b"]
    assert follower.rotations == 1


@pytest.mark.parametrize("later", [b"z\n", b"longer than before\n", b"a\nbut longer\n"])
def test_a_truncated_file_is_read_from_its_start(log, follow, later):
    log.write(b"a\nb\npart")
    follower = follow(from_start=True)
    assert read(follower) == ["a", "b"]
    os.truncate(log.path, 0)
    log.write(later)
    assert read(follower) == ["part", *later.decode().splitlines()]
    assert (follower.rotations, follower.truncations) == (0, 1)


def test_a_writer_that_goes_on_at_its_old_place_leaves_no_zeros_in_the_line(log, follow):
    with open(log.path, "wb") as writer:
        writer.write(b"a\nb\n")
        writer.flush()
        follower = follow(from_start=True)
        assert read(follower) == ["a", "b"]
        os.truncate(log.path, 0)
        writer.write(b"c\n")
    assert read(follower) == ["c"]


def test_bytes_that_are_no_text_are_replaced(log, follow):
    log.write(b"caf\xe9 \xff\n" + "café\n".encode())
    assert read(follow(from_start=True)) == ["caf\ufffd \ufffd", "café"]


def test_a_character_in_two_parts_stays_whole(log, follow):
    follower = follow()
    first, second = "é".encode()[:1], "é".encode()[1:]
    log.write(first)
    assert read(follower) == []
    log.write(second + b"\n")
    assert read(follower) == ["é"]


def test_of_a_line_without_end_the_first_bytes_are_kept(log, follow):
    follower = follow()
    for _ in range(5):
        log.write(b"x" * BLOCK)
        assert read(follower) == []
    log.write(b"\nnext\n")
    assert read(follower) == ["x" * MOST_LINE, "next"]


def test_lines_that_cross_blocks_stay_whole(log, follow):
    lines = [f"{n} " + "y" * (n % 700) for n in range(2_000)]
    log.write("\n".join(lines).encode() + b"\n")
    assert read(follow(from_start=True)) == lines


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(NotAFile, match="not a regular file"):
        Follower(str(tmp_path))


def test_nothing_stays_open(log, follow):
    log.write(b"a\n")
    before = os.listdir("/dev/fd")
    follower = follow()
    log.rotate()
    log.write(b"b\n")
    assert read(follower) == ["b"]
    follower.close()
    assert os.listdir("/dev/fd") == before
