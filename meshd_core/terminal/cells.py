"""What a terminal's library tells of its cells and modes; what a question needs is made once, not at each.

The screen of an agent at work is read dozens of times a second, and making a structure costs as much as the reading.
"""

from typing import Any

from pyghostty._ffi import GhosttyError, check, ffi, lib, union_fn
from pyghostty.core import Terminal, init_sized


class Cells:
    """Reads `terminal`. The grid has the coordinate systems `active` and `history`; rows and columns count from 0."""

    def __init__(self, terminal: Terminal, rows: int, cols: int) -> None:
        self._terminal = terminal
        self._handle = terminal._t[0]
        self._values: dict[str, tuple[int, Any]] = {}
        self._mode = ffi.new("GhosttyTerminalModeConfig*")
        self._find = union_fn(
            "ghostty_terminal_grid_ref", "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)"
        )
        self._point = ffi.new("GhosttyPointS*")
        self._ref = init_sized("GhosttyGridRef")
        self._row, self._flag = ffi.new("GhosttyRow*"), ffi.new("bool*")
        self._cell, self._wide = ffi.new("GhosttyCell*"), ffi.new("GhosttyCellWide*")
        self._selection = init_sized("GhosttySelection")
        self._options = init_sized("GhosttyTerminalSelectionFormatOptions")
        self._options.emit = lib.GHOSTTY_FORMATTER_FORMAT_PLAIN
        self._options.selection = self._selection
        self._used = ffi.new("size_t*")
        self._buffer = ffi.new("uint8_t[]", 4 * (rows + 1) * (cols + 1))

    def value(self, key: str, ctype: str) -> Any:
        """The terminal's GHOSTTY_TERMINAL_DATA_`key`; good until the next value of that key. Raises GhosttyError."""
        known = self._values.get(key)
        if known is None:
            known = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{key.upper()}"), ffi.new(f"{ctype}*")
            self._values[key] = known
        code, out = known
        check(lib.ghostty_terminal_get(self._handle, code, out), key)
        return out[0]

    def mode(self, number: int) -> bool:
        """Whether the DEC private mode is set. Raises GhosttyError."""
        self._mode.mode = number
        check(lib.ghostty_terminal_get(self._handle, lib.GHOSTTY_TERMINAL_DATA_MODE, self._mode), "mode")
        return bool(self._mode.value)

    def wraps(self, where: str, y: int) -> bool:
        """Whether row `y` goes on in the next. Raises GhosttyError."""
        lib.ghostty_grid_ref_row(self._at(0, y, where), self._row)
        lib.ghostty_row_get(self._row[0], lib.GHOSTTY_ROW_DATA_WRAP, self._flag)
        return bool(self._flag[0])

    def wide_moved(self, where: str, x: int, y: int) -> bool:
        """Whether a wide character had no room in the last cell, `x`, of row `y`, and went on. Raises GhosttyError."""
        lib.ghostty_grid_ref_cell(self._at(x, y, where), self._cell)
        lib.ghostty_cell_get(self._cell[0], lib.GHOSTTY_CELL_DATA_WIDE, self._wide)
        return bool(self._wide[0] == lib.GHOSTTY_CELL_WIDE_SPACER_HEAD)

    def text(self, where: str, first: int, last: int, last_x: int, *, unwrap: bool = False, trim: bool = True) -> str:
        """The rows `first` to `last`, up to the column `last_x`. Raises GhosttyError."""
        self._selection.start = self._at(0, first, where)[0]
        self._selection.end = self._at(last_x, last, where)[0]
        self._options.unwrap, self._options.trim = unwrap, trim
        while True:
            code = lib.ghostty_terminal_selection_format_buf(
                self._handle, self._options[0], self._buffer, len(self._buffer), self._used
            )
            if not code:
                return str(ffi.buffer(self._buffer, self._used[0])[:].decode())
            if code != lib.GHOSTTY_OUT_OF_SPACE:
                raise GhosttyError(f"format: {code}")
            self._buffer = ffi.new("uint8_t[]", int(self._used[0]) + 1)

    def _at(self, x: int, y: int, where: str) -> Any:
        """A place in the grid, good until the next one, or until the terminal takes bytes."""
        self._point.tag = _WHERE[where]
        self._point.value.x, self._point.value.y = x, y
        check(self._find(self._handle, self._point[0], self._ref), "grid_ref")
        return self._ref


_WHERE = {"active": lib.GHOSTTY_POINT_TAG_ACTIVE, "history": lib.GHOSTTY_POINT_TAG_HISTORY}
