"""A terminal's state as the bytes that make a plain terminal of the same size look and behave the same.

The library writes cells with their attributes, modes, scrolling region, cursor and keyboard state. Added here is a
wrap that is still to come at the last column. Left out are the cursor's shape, hyperlinks and saved cursors.
"""

from pyghostty._ffi import GhosttyError, ffi, lib
from pyghostty.core import Terminal, init_sized, read_buf

MAX_PENDING_BYTES = 64 * 1024
"""Of a sequence in progress, what is kept so that it can be given to another terminal."""


def pending(terminal: Terminal) -> bytes:
    """The bytes of the sequence or character that has begun and not ended; empty if it has grown too long."""
    size = ffi.new("size_t*")
    lib.ghostty_terminal_continuation_buf(terminal._t[0], ffi.NULL, 0, size)
    if not size[0]:
        return b""
    buffer = ffi.new("uint8_t[]", size[0])
    if lib.ghostty_terminal_continuation_buf(terminal._t[0], buffer, len(buffer), size):
        return b""
    return bytes(ffi.buffer(buffer, size[0]))


def repaint(terminal: Terminal) -> bytes:
    """Cells, modes and cursor, for a terminal that is plain and clear. Raises GhosttyError."""
    cols, rows = terminal.size
    # Without a selection the history would be written, too.
    parts = [_formatted(terminal, (0, 0), (cols - 1, rows - 1), whole=True)]
    if terminal.get("cursor_pending_wrap", "bool"):
        parts.append(_last_cell(terminal))
    return b"".join(parts)


def attributed(terminal: Terminal) -> str:
    """The cells of the screen as rows of text with SGR sequences. Raises GhosttyError."""
    cols, rows = terminal.size
    return _formatted(terminal, (0, 0), (cols - 1, rows - 1), whole=False).decode()


def _last_cell(terminal: Terminal) -> bytes:
    """Write the cell under the cursor once more: only that makes the next character wrap."""
    col, row = terminal.cursor
    cell, wide = ffi.new("GhosttyCell*"), ffi.new("GhosttyCellWide*")
    lib.ghostty_grid_ref_cell(terminal.ref(col, row), cell)
    lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_WIDE, wide)
    first = col - 1 if wide[0] == lib.GHOSTTY_CELL_WIDE_SPACER_TAIL and col else col
    return b"\x1b[%d;%dH" % (row + 1, first + 1) + _formatted(terminal, (first, row), (col, row), whole=False)


def _formatted(terminal: Terminal, first: tuple[int, int], last: tuple[int, int], *, whole: bool) -> bytes:
    """The cells from `first` to `last` (column, row), then the attributes at the cursor; `whole`: and all the rest."""
    selection = init_sized("GhosttySelection")
    selection.start, selection.end = terminal.ref(*first)[0], terminal.ref(*last)[0]
    options = init_sized("GhosttyFormatterTerminalOptions")
    options.emit, options.unwrap, options.trim = lib.GHOSTTY_FORMATTER_FORMAT_VT, False, False
    options.selection = selection
    extra = options.extra
    extra.screen.style = True
    if whole:
        extra.modes = extra.scrolling_region = extra.keyboard = True
        extra.screen.cursor = extra.screen.kitty_keyboard = extra.screen.charsets = True
    made = ffi.new("GhosttyFormatter*")
    if lib.ghostty_formatter_terminal_new(ffi.NULL, made, terminal._t[0], options[0]):
        raise GhosttyError("formatter")
    try:
        text: str = read_buf(lambda buf, size, used: lib.ghostty_formatter_format_buf(made[0], buf, size, used))
    finally:
        lib.ghostty_formatter_free(made[0])
    return text.encode()
