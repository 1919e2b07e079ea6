"""The section's keys: what would leak a credential or can't work is refused, without showing it."""

import msgspec
import pytest
from meshd_supabase.credentials import Claims, PrivilegedKey, check_unprivileged, claimed_node, mint
from meshd_supabase.options import SupabaseOptions

SECRET = "k3yboard-lantern-orchard-violet-98"
TOKEN = {"file": "n1.jwt"}


def decoded(**options: object) -> SupabaseOptions:
    return msgspec.convert({"url": "https://x.supabase.co", "token": TOKEN, **options}, SupabaseOptions)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://x.supabase.co", "https://x.supabase.co/rest/v1"),
        ("https://x.supabase.co/", "https://x.supabase.co/rest/v1"),
        ("http://127.0.0.1:54321", "http://127.0.0.1:54321/rest/v1"),
        ("http://[::1]:54321", "http://[::1]:54321/rest/v1"),
        ("http://localhost:3000", "http://localhost:3000/rest/v1"),
        ("https://db.example/supabase", "https://db.example/supabase/rest/v1"),
    ],
)
def test_the_base_of_the_tables(url: str, base: str) -> None:
    assert decoded(url=url).base == base


def test_a_bare_postgrest_has_no_path() -> None:
    assert decoded(url="http://127.0.0.1:3000/", rest_path="").base == "http://127.0.0.1:3000"


@pytest.mark.parametrize(
    "url",
    [
        "http://x.supabase.co", "http://127.0.0.1.example", "http://localhost.example", "http://10.0.0.1",
        "ftp://127.0.0.1", "x.supabase.co", "", "https://", "https://user:hush@x.supabase.co", "https://hush@x",
        "https://x?apikey=hush", "https://x#hush", "https://x/a b", "https://x\n", "https://x:99999", "https://x:0",
        "https://ex\u200bample", "https://x\\@y", "http://[::1",
    ],
)  # fmt: skip
def test_a_url_that_is_refused(url: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decoded(url=url)
    assert "hush" not in str(caught.value)


def test_plain_http_to_elsewhere_must_be_asked_for() -> None:
    assert decoded(url="http://10.0.0.1:8000", insecure=True).base == "http://10.0.0.1:8000/rest/v1"


@pytest.mark.parametrize(
    "options",
    [
        {"rest_path": "rest"}, {"rest_path": "/rest/"}, {"rest_path": "/a?b"}, {"schema": "a b"}, {"schema": ""},
        {"apikey": "a b"}, {"apikey": ""}, {"nope": 1},
        {"token": "eyJ.a.b"},
    ],
)  # fmt: skip
def test_an_option_that_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decoded(**options)


def privileged(role: str) -> str:
    return mint(Claims(node="n1", role=role), SECRET)


@pytest.mark.parametrize("key", ["sb_secret_hushhushhush", privileged("service_role"), privileged("postgres")])
def test_a_key_that_row_security_does_not_bind_is_refused(key: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        decoded(apikey=key)
    assert key not in str(caught.value)
    assert "hush" not in str(caught.value)
    with pytest.raises(PrivilegedKey):
        check_unprivileged(key)


@pytest.mark.parametrize(
    "key", ["sb_publishable_x", "anything", privileged("anon"), privileged("authenticated"), "é", ""]
)
def test_other_keys_are_not(key: str) -> None:
    check_unprivileged(key)


def test_the_node_of_a_token() -> None:
    assert claimed_node(mint(Claims(node="n1"), SECRET)) == "n1"
    for other in ("opaque", "a.b.c", "é", mint(Claims(viewer=True), SECRET)):
        assert claimed_node(other) is None
