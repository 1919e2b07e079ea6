"""`meshd config schema`: a JSON Schema that accepts what `config check` accepts, with what the plugins add."""

import json
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from meshd_core.cli.local import bare_view


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    from meshd_core.config.schema import schema

    host = bare_view().host
    made = schema(host.inventory(), host.config_types())
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


def test_it_is_a_schema_also_where_no_plugin_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from meshd_core.config.schema import schema

    monkeypatch.setenv("MESHD_PLUGINS", "")
    host = bare_view().host
    assert not host.kinds
    assert not host.sinks
    Draft202012Validator.check_schema(schema(host.inventory(), host.config_types()))


GOOD = """
[node]
name = "n1"
port = 0
[[slots]]
name = "demo"
kind = "demo"
labels = { team = "web" }
env = { A = "b" }
[[nodes]]
name = "n2"
url = "http://127.0.0.1:1"
token = { file = "n2.token" }
[auth]
providers = ["token"]
[plugins.demo]
enabled = true
"""


def test_what_is_right_is_accepted(validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(tomllib.loads(GOOD))] == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('kind = "demo"', 'kind = "dmo"', ["slots", 0, "kind"]),
        ('name = "demo"', 'name = "De mo"', ["slots", 0, "name"]),
        ("port = 0", 'port = "0"', ["node", "port"]),
        ("port = 0", "port = 65536", ["node", "port"]),
        ("port = 0", "prt = 0", ["node"]),
        ('kind = "demo"', 'kind = "demo"\noptions = { x = 1 }', ["slots", 0, "options"]),
        ('kind = "demo"', 'kind = "demo"\nfilters = ["nothing"]', ["slots", 0, "filters", 0]),
        ('["token"]', '["tokn"]', ["auth", "providers", 0]),
        ('{ file = "n2.token" }', '"meshd_secret"', ["nodes", 0, "token"]),
        ('{ file = "n2.token" }', '{ file = "a", env = "b" }', ["nodes", 0, "token"]),
        ("enabled = true", 'enabled = "yes"', ["plugins", "demo", "enabled"]),
        ("[auth]", '[sinks.x]\nplugin = "nothing"\n[auth]', ["sinks", "x", "plugin"]),
        ("[auth]", "[sinks.x]\n[auth]", ["sinks", "x"]),
    ],
)
def test_what_is_wrong_is_found_at_its_place(
    validator: Draft202012Validator, old: str, new: str, place: list[Any]
) -> None:
    assert old in GOOD
    found = [list(error.absolute_path) for error in validator.iter_errors(tomllib.loads(GOOD.replace(old, new, 1)))]
    assert place in found


def test_options_of_kinds_and_sinks_are_those_of_the_plugins(validator: Draft202012Validator) -> None:
    host = bare_view().host
    for name, kind in host.inventory().kinds.items():
        config = {"slots": [{"name": "a", "kind": name, "options": {"no-such-option": 1}}]}
        assert not validator.is_valid(config), (name, kind)
    for name in host.sinks:
        messages = [error.message for error in validator.iter_errors({"sinks": {"a": {"plugin": name, "no-such": 1}}})]
        assert any("no-such" in message for message in messages), name
        assert not validator.is_valid({"sinks": {"a": {"plugin": name, "delivery": {"batch_events": 0}}}})


def test_the_command_prints_it_also_where_the_configuration_is_broken(meshd: Any, tmp_path: Any) -> None:
    (tmp_path / "meshd.toml").write_text("no TOML")
    done = meshd("config", "schema", MESHD_CONFIG=str(tmp_path / "meshd.toml"))
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    port = made["$defs"]["NodeSection"]["properties"]["port"]
    assert (port["maximum"], port["default"]) == (65535, 9451) and "picks a free one" in port["description"]
    assert "null" not in done.stdout
