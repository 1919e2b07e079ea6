"""An event stream over a connection of its own, blocking; what it does about losses is `Resume`'s."""

import http.client
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

from meshd_core.client.answers import NoHttp, Unreachable, error_from
from meshd_core.client.connection import ANSWER_TIMEOUT_S, MAX_ANSWER_BYTES, Endpoint, reason
from meshd_core.client.resume import LOSSES, Resume

E = TypeVar("E")

_READ_BYTES = 65536


def events(endpoint: Endpoint, resume: Resume[E]) -> Generator[E, None, None]:
    """The events; ends when the deadline passes. Raises `MeshdError` for a refusal, `BadAnswer` for nonsense,
    `Unreachable` only if the very first connection fails: then it keeps trying.
    """
    while not resume.is_over:
        try:
            yield from _connected(endpoint, resume)
            lost: Exception = resume.ended()
        except LOSSES as error:
            lost = error
        pause_s = resume.lost(lost)
        if pause_s is None:
            return
        time.sleep(pause_s)


def _connected(endpoint: Endpoint, resume: Resume[E]) -> Iterator[E]:
    """The events of one connection, until it ends."""
    connection = endpoint.open()
    try:
        sock = connection.sock  # http.client forgets it once an answer says that it is the last
        response = _ask(connection, endpoint, resume)
        while not resume.is_over:
            sock.settimeout(resume.silence_s)
            chunk = response.read1(_READ_BYTES)
            if not chunk:
                return
            yield from resume.events(chunk)
    except Unreachable:
        raise
    except TimeoutError as error:
        raise resume.silent() from error
    except OSError as error:
        raise Unreachable(endpoint.address, reason(error)) from error
    except http.client.HTTPException as error:
        raise NoHttp(endpoint.address, repr(error)) from error
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, endpoint: Endpoint, resume: Resume[E]) -> http.client.HTTPResponse:
    target, headers = resume.request()
    connection.sock.settimeout(resume.within_deadline(ANSWER_TIMEOUT_S))
    connection.request("GET", endpoint.prefix + target, headers=endpoint.headers() | headers)
    response = connection.getresponse()
    if response.status >= 400:
        raise error_from(response.status, response.read(MAX_ANSWER_BYTES), endpoint.address)
    resume.accept(response.status, response.getheader("Content-Type", ""))
    return response
