"""Frames arrive whole and in order however the stream is cut, with exactly the descriptors that belong to them."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.pty.errors import FrameError
from meshd_core.pty.frames import DATA, JSON, Wire


@contextlib.contextmanager
def pair() -> Iterator[tuple[Wire, Wire]]:
    left, right = (Wire(sock) for sock in socket.socketpair(socket.AF_UNIX))
    try:
        yield left, right
    finally:
        left.close()
        right.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([JSON, DATA]), st.binary(max_size=300)), max_size=8), st.data())
def test_any_chunking_gives_the_same_frames(frames, data):
    stream = b"".join(struct.pack("!Ic", len(body) + 1, kind) + body for kind, body in frames)
    got = []
    with pair() as (left, right):
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            left.sock.send(stream[:size])
            stream = stream[size:]
            got += right.receive()
    assert got == frames


def test_large_frames_and_their_descriptors_keep_their_order():
    with pair() as (left, right):
        reads = []
        for index in range(5):
            read, write = os.pipe()
            os.write(write, bytes([index]))
            os.close(write)
            left.queue(JSON, b"x", (read,))
            left.queue(DATA, bytes([index]) * 250_000)
        got = []
        while left.pending_bytes or len(got) < 10:
            left.flush()
            got += right.receive()
            with contextlib.suppress(FrameError):
                reads.append(right.take_fd())
        assert [body for kind, body in got if kind == DATA] == [bytes([index]) * 250_000 for index in range(5)]
        assert [os.read(fd, 1) for fd in reads] == [bytes([index]) for index in range(5)]
        assert not any(os.get_inheritable(fd) for fd in reads)
        for fd in reads:
            os.close(fd)


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n", b"\0\0\0\0J", b"\x7f\0\0\0J", b"\0\0\0\x02Zx"])
def test_what_is_no_frame_is_an_error(stream):
    with pair() as (left, right):
        left.sock.send(stream)
        with pytest.raises(FrameError):
            right.receive()


def test_a_descriptor_that_never_came_is_an_error_and_unsent_ones_are_closed():
    with pair() as (left, right):
        with pytest.raises(FrameError):
            right.take_fd()
        read, write = os.pipe()
        os.close(write)
        left.queue(JSON, b"never sent", (read,))
    with pytest.raises(OSError):
        os.fstat(read)
