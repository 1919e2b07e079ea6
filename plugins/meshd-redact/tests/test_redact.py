"""What is removed, across lines and chunks, and what is left alone."""

import time

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from meshd_redact import RedactConfig, RedactFilter
from meshd_redact.redactor import MAX_LINE_CHARS, MAX_OPEN_LINES, TOO_LONG, TOO_SLOW, Found, Redactor
from meshd_redact.search import Search
from meshd_redact.shapes import KEY_BEGIN, Shape, common_shapes, own_shape

ALNUM = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY"
SECRETS = {
    "openai": "sk-proj-" + ALNUM,
    "anthropic": "sk-ant-api03-" + ALNUM + "_" + ALNUM,
    "github": "ghp_" + ALNUM + "Zz9x",
    "github fine-grained": "github_pat_" + ALNUM,
    "gitlab": "glpat-" + ALNUM[:20],
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIza" + ALNUM + "abc",
    "slack": "xoxb-123456789012-" + ALNUM,
    "stripe": "sk_live_" + ALNUM,
    "npm": "npm_" + ALNUM + "Zz9x",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "meshd": "meshd_ab12cd_" + ALNUM + "Zz9xQwErTyU",
}


COMMON = RedactFilter(RedactConfig())
STAR = RedactFilter(RedactConfig(replacement="*"))


def own(**patterns: str) -> RedactFilter:
    return RedactFilter(RedactConfig(patterns=patterns, common=False))


def through(lines: list[str], redact: RedactFilter = COMMON) -> str:
    redactor = redact.redactor()
    shown = [text for line in lines for text in redactor.feed(line)]
    return "\n".join(shown + redactor.release())


@pytest.mark.parametrize("name", SECRETS)
def test_each_common_shape_is_removed_wherever_it_stands_in_a_line(name: str) -> None:
    secret = SECRETS[name]
    assert through([f"the key is {secret}, keep it"]) == "the key is [redacted], keep it"
    assert through([secret]) == "[redacted]"
    assert through([f'"{secret}"']) == '"[redacted]"'


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("frame", ["", "  ", "│ "])
def test_a_secret_cut_by_a_line_break_is_removed_at_every_cut(name: str, frame: str) -> None:
    secret = SECRETS[name]
    for cut in range(1, len(secret)):
        shown = through([f"{frame}key: {secret[:cut]}", f"{frame}{secret[cut:]}", "end"])
        left = "".join(shown.split("key: ")[1].replace("[redacted]", "").split()).replace("│", "")
        assert len(left.removesuffix("end")) < 4, (cut, shown)
        assert shown.endswith("end") and shown.count("\n") == 2


def test_a_secret_over_three_lines_is_removed() -> None:
    secret = SECRETS["anthropic"]
    shown = through([f"key {secret[:20]}", secret[20:50], f"{secret[50:]} done"])
    assert shown == "key [redacted]\n[redacted]\n[redacted] done"


def test_a_private_key_is_removed_whole_and_its_lines_stay_lines() -> None:
    body = [ALNUM * 2 for _ in range(24)]
    key = ["-----BEGIN OPENSSH PRIVATE KEY-----", *body, "-----END OPENSSH PRIVATE KEY-----"]
    assert through(["before", *key, "after"]) == "\n".join(["before", *["[redacted]"] * 26, "after"])


def test_the_beginning_of_a_private_key_is_not_shown_when_the_end_never_comes() -> None:
    shown = through(["-----BEGIN RSA PRIVATE KEY-----", ALNUM * 2, ALNUM * 2])
    assert shown == "[redacted]\n[redacted]\n[redacted]"


def test_values_after_telling_names_and_in_urls_are_removed_but_not_the_names() -> None:
    assert through(["API_KEY=hunter2hunter2"]) == "API_KEY=[redacted]"
    assert through(["postgres://bob:s3cret@db/x"]) == "postgres://bob:[redacted]@db/x"
    assert through(["Authorization: Bearer abcdefghijklmnop1234"]) == "Authorization: Bearer [redacted]"


@pytest.mark.parametrize(
    "line",
    [
        "see https://example.com/a/b?c=d", "git commit 3f2b9c1d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c", "sk-learn",
        "password: ", "the secret of success", "uuid 123e4567-e89b-42d3-a456-426614174000", "", "   ", "│ box │",
        "/usr/lib/python3/dist-packages", "eyJ is how it starts", "const token = await login()",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_as_it_is(line: str) -> None:
    assert through([line, "next"]) == f"{line}\nnext"
    assert through([line]) == line


def test_a_word_after_a_whole_secret_at_the_end_of_a_line_stays() -> None:
    assert through([f"key {SECRETS['openai']}", "Done with it"]) == "key [redacted]\nDone with it"


def test_lines_are_held_only_while_their_end_may_begin_a_secret() -> None:
    redactor = STAR.redactor()
    assert redactor.feed("plain text") == ["plain text"] and not redactor.holds
    assert redactor.feed("key ghp_aB3d") == [] and redactor.holds
    assert redactor.feed("and more") == ["key ghp_aB3d", "and more"] and not redactor.holds
    assert redactor.feed("key ghp_aB3dE5fG7h") == [] and redactor.release() == ["key *"]
    assert redactor.feed(ALNUM[10:] + "Zz9x and more") == ["* and more"], "the rest came after a pause"


def test_own_patterns_are_removed_across_lines_too() -> None:
    badge = own(badge="ACME-[0-9]{8}")
    assert through(["id ACME-12345678."], badge) == "id [redacted]."
    assert through(["id ACME-1234", "5678 ok"], badge) == "id [redacted]\n[redacted] ok"
    redactor = badge.redactor()
    assert redactor.feed("id ACME-12") == [] and redactor.release() == ["id [redacted]"]


def test_an_unfinished_match_without_a_fixed_beginning_is_no_reason_to_remove_a_word() -> None:
    mail = own(mail=r"\w+@corp\.example")
    redactor = mail.redactor()
    assert redactor.feed("hello world") == [] and redactor.release() == ["hello world"]
    assert through(["from some", "body@corp.example"], mail) == "from [redacted]\n[redacted]"


def test_a_stream_that_is_never_sure_is_closed_from_time_to_time_so_that_a_replay_is_bounded() -> None:
    redactor = own(mail=r"\w+@corp\.example").redactor()
    closed = 0
    shown = []
    for number in range(10 * MAX_OPEN_LINES):
        shown += redactor.feed(f"word{number}")
        closed += not redactor.is_open
    assert shown + redactor.release() == [f"word{number}" for number in range(10 * MAX_OPEN_LINES)]
    assert closed >= 8


@pytest.mark.parametrize(("pattern", "words"), [("(", "not a regular expression"), ("a*", "matches the empty text")])
def test_a_pattern_that_can_not_work_is_refused_by_name(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"'badge'.*{words}"):
        own_shape("badge", pattern)


def test_what_can_not_be_judged_is_withheld_and_says_so() -> None:
    secret = SECRETS["github"]
    assert through(["x" * MAX_LINE_CHARS + secret, "next"]) == f"{TOO_LONG}\nnext"


def test_a_pattern_that_takes_too_long_withholds_and_does_not_hold_the_loop_up_again() -> None:
    slow = own(slow=r"(?:a|aa)+(?:a|aa)+(?:a|aa)+\d")
    started = time.process_time()
    assert through(["a" * 3000, *["b"] * 2000, "c"], slow) == "\n".join([TOO_SLOW] * 2002)
    assert slow.block("title") == TOO_SLOW
    assert time.process_time() - started < 2.0


def test_after_a_pause_a_slow_pattern_is_tried_again() -> None:
    now = [0.0]
    slow = own(slow=r"(?:a|aa)+(?:a|aa)+(?:a|aa)+\d")
    slow._search = Search(lambda: now[0])
    redactor = slow.redactor()
    assert redactor.feed("a" * 3000) == [TOO_SLOW]
    assert redactor.feed("1") == [TOO_SLOW]
    now[0] = 2.5
    assert redactor.feed("a1 and fine ") == ["a1 and fine "]


def test_a_block_keeps_its_rows() -> None:
    secret = SECRETS["github"]
    rows = ["╭─ key ─╮", f"│ {secret[:18]} │", f"│ {secret[18:]} │", "╰──╯", ""]
    shown = COMMON.block("\n".join(rows)).split("\n")
    assert shown == ["╭─ key ─╮", "│ [redacted] │", "│ [redacted] │", "╰──╯", ""]
    assert STAR.block(f"title {secret}") == "title *"


def test_a_token_that_begins_a_line_is_found_whatever_the_line_before_ended_with() -> None:
    secret = SECRETS["anthropic"]
    for cut in range(1, len(secret)):
        shown = through(["the key", secret[:cut], secret[cut:], "end"])
        assert len("".join(shown.replace("[redacted]", "").split()).replace("thekey", "").replace("end", "")) < 4


@pytest.mark.parametrize("around", ["密{}钥", "(密码){}。", "=\u200b{}", "\U0001f511{}\U0001f511", "é{}é"])
def test_wide_and_other_characters_around_a_secret_do_not_hide_it(around: str) -> None:
    assert SECRETS["github"] not in through([around.format(SECRETS["github"])])


def test_characters_without_width_do_not_hide_a_secret() -> None:
    assert through(["key " + "\u200b".join(SECRETS["github"]) + " end"]) == "key [redacted] end"
    assert through(["family \U0001f468\u200d\U0001f469 stays"]) == "family \U0001f468\u200d\U0001f469 stays"


@pytest.mark.parametrize("gutter", ["", "{} ", "{:6}→", "  {} │ ", "+ ", "- ", "+"])
def test_a_private_key_with_line_numbers_or_diff_marks_is_removed(gutter: str) -> None:
    body = [(ALNUM * 2)[n : n + 60] for n in range(30)]
    key = ["-----BEGIN PRIVATE KEY-----", *body, "-----END PRIVATE KEY-----"]
    shown = through([gutter.format(n) + line for n, line in enumerate(key)] + ["after it"])
    assert not any(line[:20] in shown for line in body)
    assert shown.endswith("after it")


def test_a_private_key_within_one_line_is_removed() -> None:
    text = (
        '{"key": "-----BEGIN PRIVATE KEY-----\\n' + ALNUM + "\\n" + ALNUM + '\\n-----END PRIVATE KEY-----\\n", "a": 1}'
    )
    assert through([text]) == '{"key": "[redacted]\\n", "a": 1}'
    assert ALNUM not in through(['{"key": "-----BEGIN PRIVATE KEY-----\\n' + ALNUM, "x"])


def test_a_private_key_longer_than_any_other_secret_is_removed_to_its_end() -> None:
    body = [ALNUM * 2] * 300
    shown = through(["-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----", "after"])
    assert shown == "\n".join(["[redacted]"] * 302 + ["after"])


def test_prose_after_the_beginning_of_a_private_key_is_shown() -> None:
    shown = through(["-----BEGIN RSA PRIVATE KEY-----", ALNUM * 2, "and so on, said the man"])
    assert shown == "[redacted]\n[redacted]\nand so on, said the man"


def test_a_flood_without_secrets_is_cheap() -> None:
    redactor = COMMON.redactor()
    lines = [
        f"line {number} of a build that prints what it does, file src/module_{number}.c" for number in range(20000)
    ]
    started = time.process_time()
    for line in lines:
        redactor.feed(line)
    assert (time.process_time() - started) / len(lines) < 50e-6


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=40), max_size=12))
def test_any_lines_come_out_in_order_and_number(lines: list[str]) -> None:
    redactor = STAR.redactor()
    shown = [text for line in lines for text in redactor.feed(line)] + redactor.release()
    assert len(shown) == len(lines)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SECRETS)), st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_no_cut_leaves_much_of_a_secret(name: str, cuts: list[int]) -> None:
    secret = SECRETS[name]
    lines, rest = [], secret
    for cut in cuts:
        lines.append(rest[:cut])
        rest = rest[cut:]
    lines = [line for line in [*lines, rest] if line]
    shown = through(["x " + lines[0], *lines[1:]])
    for at in range(len(secret) - 7):
        assert secret[at : at + 8] not in regex.sub(r"\s", "", shown)


def test_a_mark_of_a_key_that_never_comes_is_searched_for_once() -> None:
    """Before, 10,000 letters after it took 3 s of the event loop, and 60,000 a hundred."""
    for text in ("-----BEGIN " + "A" * 60_000, "-----BEGIN " + "A " * 30_000):
        assert KEY_BEGIN.search(text + "!", timeout=10.0) is None


class Counting(Search):
    """How many characters are looked at from the beginnings of lines on."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = 0

    def at_begin(self, shape: Shape, text: str) -> Found | None:
        self.characters += len(text)
        return super().at_begin(shape, text)


def test_lines_of_tokens_are_not_matched_from_each_of_them_to_the_end() -> None:
    search = Counting()
    redactor = Redactor(common_shapes(), "[removed]", search)
    lines = [f"sk-{number:030}" for number in range(200)]
    shown = [line for text in lines for line in redactor.feed(text)] + redactor.release()
    assert not [line for line in shown if "sk-" in line]
    assert search.characters < 100_000  # 8 million, if each is
