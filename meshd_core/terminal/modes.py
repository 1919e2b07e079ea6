"""What puts a terminal back into its plain state: all that a program can have switched on, switched off."""

PLAIN = (
    b"\x1b\\"  # ends a string sequence that was cut off
    b"\x1b[?1049l"  # the alternate screen
    b"\x1b[0m\x1b(B\x0f"  # attributes, character sets
    b"\x1b[?69l\x1b[r\x1b[?6l"  # margins, scrolling region, origin
    b"\x1b[4l\x1b[20l"  # insert mode, newline mode
    b"\x1b[?1l\x1b>"  # application cursor and keypad keys
    b"\x1b[?5l\x1b[?7h"  # reverse video off, wrapping on
    b"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # the mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[?2048l"  # focus, paste, synchronized frames, reports
    b"\x1b[=0;1u\x1b[>4;0m"  # kitty's keyboard protocol, modifyOtherKeys
    b"\x1b[0 q\x1b[?25h"  # the cursor's shape; shown
)
ALTERNATE = b"\x1b[?1049h"
CLEAR = b"\x1b[0m\x1b[H\x1b[2J"
