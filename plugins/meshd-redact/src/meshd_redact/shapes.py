"""What secrets look like: token shapes that their issuers document or that are in common use.

Each pattern matches a whole secret, not a word of prose. A group named `v` limits what is removed to the value.
"""

import re
from typing import NamedTuple

import regex

SHORT = 4
"""An unfinished match shorter than this is shown at once: it gives nothing away, and the rest is still recognised."""


class Shape(NamedTuple):
    """One kind of secret."""

    name: str
    pattern: "regex.Pattern[str]"
    needles: tuple[str, ...]
    """Lower-case texts: each match, and each unfinished one of `SHORT` characters, has one of them; none: not known."""
    eager: int
    """From this many characters on, an unfinished match at the end of a line is removed although nothing followed it;
    0: never, because prose looks the same.
    """


_EAGER = 12
_TOKEN = r"(?<![A-Za-z0-9_])"  # noqa: S105 - where a token may begin
_WORD = r"(?<![A-Za-z0-9])"

# A token that says what it is by its first characters.
_PREFIXED: dict[str, tuple[str, str]] = {
    "anthropic or openai key": ("sk-", r"sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}"),
    "github token": ("ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    "github fine-grained token": ("gith", r"github_pat_[A-Za-z0-9_]{22,}"),
    "gitlab token": ("glpa gldt glrt glpt", r"gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,}"),
    "aws access key": ("akia asia agpa aida aroa", r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "google api key": ("aiza", r"AIza[A-Za-z0-9_-]{35}"),
    "google oauth token": ("ya29", r"ya29\.[A-Za-z0-9_-]{20,}"),
    "slack token": ("xox xapp", r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    "stripe key": ("sk_ rk_", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    "npm token": ("npm_", r"npm_[A-Za-z0-9]{36}"),
    "pypi token": ("pypi", r"pypi-[A-Za-z0-9_-]{50,}"),
    "hugging face token": ("hf_", r"hf_[A-Za-z0-9]{30,}"),
    "sendgrid key": ("sg.", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    "digitalocean token": ("doo_ dop_ dor_", r"do[opr]_v1_[a-f0-9]{64}"),
    "tailscale key": ("tske", r"tskey-[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{16,}"),
    "meshd token": ("mesh", r"meshd_[A-Za-z0-9]{4,}_[A-Za-z0-9_-]{43}"),
    "json web token": ("eyj", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
}

# A secret that only its surroundings tell.
_NAMED: dict[str, tuple[str, str]] = {
    "webhook": (
        "hook disc",
        r"(?:hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)(?P<v>[A-Za-z0-9/_-]{20,})",
    ),
    "bearer credential": ("bear", _WORD + r"(?i:bearer\s+)(?P<v>[A-Za-z0-9._~+/=-]{16,})"),
    "basic credential": ("auth", _WORD + r"(?i:authorization:\s*basic\s+)(?P<v>[A-Za-z0-9+/=]{8,})"),
    "password in a url": ("://", r"://[^\s:/@]*:(?P<v>[^\s/@]+)@"),
    "aws secret key": ("aws_", r"(?i:aws_secret_access_key[\"']?\s*[:=]\s*[\"']?)(?P<v>[A-Za-z0-9/+=]{40})"),
    # Quoted, or with a digit in it: what is neither is more often code than a secret.
    "named secret": (
        "pass secr api_ api- apik acce auth clie priv",
        r"(?i:(?:passw(?:or)?d|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret|"
        r"private[_-]?key)[\"']?\s*[:=]\s*)(?:[\"'](?P<v>[^\s\"']{8,})|(?P<v>(?=[^\s\"'\[\]()]*[0-9])[^\s\"'\[\]()]{8,}))",
    ),
}

KEY_BEGIN = regex.compile(r"-----BEGIN[A-Z0-9\s]{0,60}?PRIVATE\s*KEY(?:\s*BLOCK)?-----")
KEY_NEEDLE = "----"
"""A private key is the one secret of many lines: the redactor follows it line by line from `KEY_BEGIN` on."""
KEY_END = re.compile(r"-----END\s*[A-Z0-9 ]*PRIVATE\s*KEY(?:\s*BLOCK)?-----")
KEY_LINE = re.compile(
    r"(?:\d+\s*[→│|:]?\s*)?[+-]?\s*(?:[A-Za-z0-9+/=\\]*|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): .*)"
)
"""What a line within a private key looks like, with the line number or the mark that an agent may put before it."""
KEY_TEXT = re.compile(r"(?:[A-Za-z0-9+/=]|\\[nr]|\s|-(?!----))*")
"""A private key within one line, as a string with `\\n` in it has it."""


def common_shapes() -> list[Shape]:
    """The shapes that are removed unless `common = false`."""
    found = [
        Shape(name, regex.compile(_TOKEN + pattern), tuple(needles.split()), _EAGER)
        for name, (needles, pattern) in _PREFIXED.items()
    ]
    found += [
        Shape(name, regex.compile(pattern), tuple(needles.split()), 0) for name, (needles, pattern) in _NAMED.items()
    ]
    return found


def own_shape(name: str, pattern: str) -> Shape:
    """A pattern of the site's own. Raises ValueError with the reason if it is no regular expression, or matches the
    empty text. If it begins with fixed characters, an unfinished match of more than those is removed.
    """
    try:
        compiled = regex.compile(pattern)
        is_empty = compiled.fullmatch("", timeout=1.0) is not None
    except regex.error as error:
        raise ValueError(f"pattern {name!r} is not a regular expression: {error}") from None
    if is_empty:
        raise ValueError(f"pattern {name!r} matches the empty text")
    head = _fixed_head(pattern)
    if len(head) < 3:
        return Shape(name, compiled, (), 0)
    return Shape(name, compiled, (head[:SHORT].lower(),), max(SHORT, len(head) + 1))


def _fixed_head(pattern: str) -> str:
    """The characters with which every match of `pattern` begins, as far as they are plain to see."""
    match = re.match(r"[A-Za-z0-9_:/@ -]*", pattern)
    head = match[0] if match else ""
    rest = pattern[len(head) :]
    if "|" in pattern:
        return ""
    return head[:-1] if rest[:1] in ("?", "*", "{", "+") else head
