"""Tokens: what is stored, what is accepted, and what ends one."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_core.auth.tokens import TokenStore, TokensUnreadable, parse_expiry
from meshd_core.errors import InvalidField, NotFound


def test_a_token_is_accepted_until_it_is_revoked(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    credential, token = store.create("inject", ("claude-*",), label="ci")
    found = store.verify(credential)
    assert found is not None
    assert (found.kid, found.scope, found.slots, found.label) == (token.kid, "inject", ("claude-*",), "ci")
    store.revoke(token.kid)
    assert store.verify(credential) is None
    with pytest.raises(NotFound):
        store.revoke(token.kid)


def test_a_credential_has_the_form_of_the_protocol_and_is_nowhere_on_disk(tmp_path: Path) -> None:
    credential, token = TokenStore(tmp_path).create("read")
    prefix, kid, secret = credential.split("_", 2)
    assert (prefix, kid, len(secret)) == ("meshd", token.kid, 43)
    assert secret not in (tmp_path / "tokens.json").read_text()


def test_two_tokens_are_valid_at_once_so_that_one_can_replace_the_other(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    old, old_token = store.create("read")
    new, _ = store.create("read")
    assert store.verify(old)
    assert store.verify(new)
    store.revoke(old_token.kid)
    assert store.verify(old) is None
    assert store.verify(new)


def test_a_token_ends_when_its_time_is_up(tmp_path: Path) -> None:
    now = [1_000_000]
    store = TokenStore(tmp_path, clock_ms=lambda: now[0])
    credential, token = store.create("read", expires="90m")
    assert token.expires == "1970-01-01T01:46:40.000Z"
    now[0] += 90 * 60_000 - 1
    assert store.verify(credential)
    now[0] += 1
    assert store.verify(credential) is None


def test_a_change_by_another_process_is_seen(tmp_path: Path) -> None:
    daemon, command = TokenStore(tmp_path), TokenStore(tmp_path)
    assert daemon.verify("meshd_00000000_" + "a" * 43) is None
    credential, token = command.create("read")
    assert daemon.verify(credential), "a token that is not known is looked for at once"
    command.revoke(token.kid)
    daemon._checked_at -= 2
    assert daemon.verify(credential) is None


def test_the_wrong_secret_of_a_known_token_is_refused(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    credential, _ = store.create("admin")
    last = "B" if credential[-1] == "A" else "A"
    assert store.verify(credential[:-1] + last) is None


@given(st.text(max_size=200))
def test_no_credential_makes_verify_raise(text: str) -> None:
    store = TokenStore(Path("/nonexistent-state"))
    assert store.verify(text) is None
    assert store.verify(f"meshd_aaaaaaaa_{text}") is None


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        TokenStore(tmp_path).ensure_admin()
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"tokens.json": 0o600, "tokens.lock": 0o600, "admin.token": 0o600}


def test_the_first_run_makes_an_admin_token_and_the_second_none(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    credential = store.ensure_admin().read_text().strip()
    found = store.verify(credential)
    assert found is not None
    assert (found.scope, found.slots) == ("admin", ("*@*",))
    assert TokenStore(tmp_path).ensure_admin().read_text().strip() == credential
    assert len(store.all()) == 1


@pytest.mark.parametrize("content", ["", "{", '{"tokens": 1}', '{"tokens": [], "more": 1}', "\x00\xff"])
def test_a_damaged_store_accepts_nobody_and_is_not_overwritten(tmp_path: Path, content: str) -> None:
    store = TokenStore(tmp_path)
    credential, _ = store.create("admin")
    (tmp_path / "tokens.json").write_text(content)
    store._checked_at -= 2
    for _ in range(2):
        with pytest.raises(TokensUnreadable):
            store.all()
    with pytest.raises(TokensUnreadable):
        store.create("read")
    with pytest.raises(TokensUnreadable):
        store.verify(credential)
    assert (tmp_path / "tokens.json").read_text() == content


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        TokenStore(tmp_path).create("read")
        TokenStore(tmp_path).create("inject")
    assert len(json.loads((tmp_path / "tokens.json").read_text())["tokens"]) == 10


@pytest.mark.parametrize(
    ("text", "ms"), [("30d", 2_592_000_000), ("12h", 43_200_000), ("90m", 5_400_000), ("5s", 5000)]
)
def test_durations_of_tokens(text: str, ms: int) -> None:
    assert parse_expiry(text) == ms


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0d", "1.5h", "30 d", "1w", "999999d", "1d\n", "١d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        parse_expiry(text)


@pytest.mark.parametrize("slots", [(), ("",), ("a/b",), ("[a]",), ("a@b@c",), ("../x",), ("A",)])
def test_what_is_no_slot_glob_is_refused(tmp_path: Path, slots: tuple[str, ...]) -> None:
    with pytest.raises(InvalidField):
        TokenStore(tmp_path).create("read", slots)
    assert not (tmp_path / "tokens.json").exists()
