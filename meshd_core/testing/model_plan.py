"""What the fake model answers: chosen by words in the prompt, so that a test says in its prompt what it needs.

| words | the answer |
|---|---|
| `SLOW<n>` | ten words a second for n seconds (default 8) |
| `HANG<n>` | not a byte for n seconds (default 8), then as usual |
| `TOOL <command>` | one call of the shell tool with the rest of the line; after its result, `tool finished: <result>` |
| `CALL <tool> <JSON>` | one call of that tool, if it is offered, with these arguments |
| `ERR<nnn>` | that HTTP status |
| `ERR<nnn>x<k>` | that status the first k times that this prompt is asked, then as usual |
| `LONG<n>` | n numbered paragraphs (default 60) |
| `BULK<n>` | n KiB of numbered rows at full speed (default 512) |
| `MD` | markdown: heading, bold, code, list |
| `EMPTY` | nothing at all |
| anything else | `You said: ` and the prompt's first 200 characters |
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

SIDE_ANSWER = "A fake title"
"""For requests without tools: titles and summaries that CLIs ask for on the side."""
MARKDOWN = ("# A title\n\nSome **bold** text.\n\n", "```python\nprint('hi')\n```\n\n", "- one\n- two\n\nMD-END.")
SHELL_TOOLS = ("Bash", "bash", "shell", "run_shell_command", "exec_command")
_CONTEXT = re.compile(r"<(system-reminder|environment_context|session_context)>.*?</\1>\s*", re.DOTALL)
_PASTED = re.compile(r"</?pasted_content[^>\n]*>\n?")


class ToolCall(Struct, frozen=True):
    """A call of a tool that the CLI offers; `arguments` as the tool's schema wants them."""

    name: str
    arguments: dict[str, Any]


class Plan(Struct, frozen=True):
    """One answer: a status, a silence before the first byte, then a tool call or text in pieces."""

    chunks: tuple[str, ...] = ()
    delay_s: float = 0.0
    """Pause after each piece."""
    hang_s: float = 0.0
    status: int = 200
    tool: ToolCall | None = None

    @property
    def text(self) -> str:
        return "".join(self.chunks)


def plain_prompt(text: str) -> str:
    """The prompt as a person typed it: without the context and the wrappers that CLIs add."""
    return _PASTED.sub("", _CONTEXT.sub("", text)).strip()


def plan_answer(prompt: str, tools: Sequence[str], tool_result: str | None, tried: int = 0) -> Plan:
    """The answer to `prompt` (see `plain_prompt`), or to `tool_result` if the conversation ends in one.

    `tried`: how often this prompt was answered before.
    """
    if tool_result is not None:
        return Plan(chunks=("tool finished: ", tool_result.strip()[:200] or "(no output)"))
    if not tools:
        return Plan(chunks=(SIDE_ANSWER,))
    match = re.search(r"\bERR(\d{3})(?:x(\d+))?\b", prompt)
    if match and (match[2] is None or tried < int(match[2])):
        return Plan(status=int(match[1]))
    hang = re.search(r"\bHANG(\d*)\b", prompt)
    hang_s = float(hang[1] or 8) if hang else 0.0
    if match := re.search(r"\bTOOL\b[ \t]*(.*)", prompt):
        shell = next((name for name in SHELL_TOOLS if name in tools), None)
        if shell is not None:
            return Plan(hang_s=hang_s, tool=ToolCall(shell, _shell_arguments(shell, match[1].strip() or "touch x")))
    if (match := re.search(r"\bCALL (\w+) (\{.*\})", prompt, re.DOTALL)) and match[1] in tools:
        return Plan(hang_s=hang_s, tool=ToolCall(match[1], msgspec.json.decode(match[2])))
    if match := re.search(r"\bSLOW(\d*)\b", prompt):
        words = int(float(match[1] or 8) * 10)
        return Plan((*(f"word{number} " for number in range(1, words + 1)), "SLOW-END."), 0.1, hang_s)
    if match := re.search(r"\bLONG(\d*)\b", prompt):
        rows = (f"paragraph {number} of a long answer\n\n" for number in range(1, int(match[1] or 60) + 1))
        return Plan((*rows, "LONG-END."), 0.005, hang_s)
    if match := re.search(r"\bBULK(\d*)\b", prompt):
        return Plan((*(_bulk(number) for number in range(int(match[1] or 512))), "BULK-END."), 0.0, hang_s)
    if re.search(r"\bEMPTY\b", prompt):
        return Plan(("",), 0.0, hang_s)
    if re.search(r"\bMD\b", prompt):
        return Plan(MARKDOWN, 0.02, hang_s)
    return Plan(("You said: ", prompt[:200]), 0.01, hang_s)


def _bulk(number: int) -> str:
    """A KiB of rows. No two of them are alike: Gemini CLI takes what repeats itself for a loop, and asks."""
    rows = [f"{number:04d}.{row:02d} of a long answer" for row in range(13)]
    return "".join(f"{row}: {hashlib.sha256(row.encode()).hexdigest()[:54]}\n" for row in rows)


def _shell_arguments(tool: str, command: str) -> dict[str, str]:
    """What each CLI's shell tool takes. codex asks only for commands that want to leave its sandbox."""
    reason = "A command of the fake model"
    if tool == "exec_command":
        return {"cmd": command, "sandbox_permissions": "require_escalated", "justification": reason}
    return {"command": command, "description": reason}
