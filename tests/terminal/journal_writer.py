"""A small daemon for the kill tests: reads a terminal into a journal and turns its bytes into line records.

Run as `python journal_writer.py JOURNAL FD`; it is killed at any moment and started again on the same terminal.
"""

import os
import sys
from pathlib import Path

from meshd_core.clock import now_ms
from meshd_core.terminal.journal import Journal
from meshd_core.terminal.output_chain import OutputChain
from meshd_core.terminal.records import Kind, Record
from meshd_core.terminal.text_filter import TextFilter


def main() -> None:
    journal = Journal.open(Path(sys.argv[1]), raw_bytes=1 << 18, record_bytes=1 << 18)
    fd = int(sys.argv[2])
    start, skip = journal.consumed
    text_filter, chain = TextFilter(), OutputChain("s", [], start=start)
    chain.resume(skip)

    def store(data: bytes | memoryview, base: int) -> None:
        lines = chain.feed(text_filter.feed(data, base))
        n = journal.last_n
        journal.append(
            [
                Record(Kind.LINE, n + index, now_ms(), line.raw_end, line.skip, line.text.encode())
                for index, line in enumerate(lines, 1)
            ]
        )

    store(journal.raw(start, journal.raw_head), start)
    os.write(1, b"+")  # adopted
    while True:
        base = journal.raw_head
        try:
            data = journal.read_from(fd)
        except OSError:
            break  # EIO: the terminal's other side is closed
        if not data:
            break
        store(data, base)


if __name__ == "__main__":
    main()
