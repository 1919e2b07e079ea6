"""A configuration is judged whole: every error at once, with its place, its reason and the way out."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd_core.config.check import CheckedConfig, CheckedSink, Inventory, check_against
from meshd_core.config.decode import Document
from meshd_core.config.lines import index_lines, line_of
from meshd_core.config.load import LoadedConfig, judge, load_config, read_config
from meshd_core.config.model import Config
from meshd_core.config.problems import ConfigErrors, ConfigProblem
from meshd_core.contracts.secrets import SecretRef
from meshd_core.types import PluginInfo


class SinkOptions(msgspec.Struct, forbid_unknown_fields=True):
    token: SecretRef
    key: SecretRef


class Options(msgspec.Struct, forbid_unknown_fields=True):
    quiet_s: float = 2.0


class Installed:
    """What a host says is installed."""

    def __init__(self, **changes: Any) -> None:
        self.answer = msgspec.structs.replace(
            Inventory(
                kinds={"generic": Options, "demo": None}, filters=frozenset({"text"}),
                auth_providers=frozenset({"token", "none"}), sinks={}, plugins=(), broken={}, broken_kinds={},
            ),
            **changes,
        )  # fmt: skip

    def inventory(self) -> Inventory:
        return self.answer


def plugin(name: str, status: Any, error: str | None = None) -> PluginInfo:
    return PluginInfo(name, f"acme-{name}", "1", status, [], error=error)


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "meshd.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def errors_of(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_config(written(folder, text), environ=environ or {})
    assert caught.value.exit_code == 78
    return str(caught.value).splitlines()


def checked(folder: Path, text: str, **changes: Any) -> CheckedConfig:
    return check_against(read_config(written(folder, text), environ={}), Installed(**changes))


def refused(folder: Path, text: str, **changes: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        checked(folder, text, **changes)
    return str(caught.value).splitlines()


MANY = """\
[node]
name = "Mac 1"
bind = ["localhost", "::1"]
prot = 9451

[[slots]]
name = "one"
kind = "genric"
rows = "40"
restart = "allways"

[[slots]]
name = "one"
kind = "demo"
options = { fast = true }
filters = ["txt"]

[[nodes]]
name = "mac2"
url = "http://100.64.0.2:9451"
token = { env = "NOT_SET_HERE" }

[[nodes]]
name = "mac3"
url = "http://example.com:9451"
token = "hunter2"

[auth]
providers = ["tokn"]

[plugins.clade]
x = 1
"""

MANY_ERRORS = [
    "meshd.toml:2: node.name: must be lower-case letters, digits, '.', '_' and '-', start with a letter or digit, and"
    " have at most 63 (for example 'mac-1')",
    "meshd.toml:3: node.bind[0]: 'localhost' is not an IP address (write 127.0.0.1 or ::1)",
    "meshd.toml:4: node.prot: unknown key (did you mean 'port'?)",
    "meshd.toml:8: slots[0] (one).kind: kind \"genric\" is not installed (did you mean 'generic'?)",
    "meshd.toml:9: slots[0] (one).rows: must be a whole number, not text",
    "meshd.toml:10: slots[0] (one).restart: must be one of 'never', 'on-failure', 'always' (did you mean 'always'?)",
    "meshd.toml:13: slots[1] (one).name: the name 'one' is taken by slots[0] (names are unique)",
    "meshd.toml:15: slots[1] (one).options: kind 'demo' has no options",
    "meshd.toml:16: slots[1] (one).filters[0]: filter \"txt\" is not installed (did you mean 'text'?)",
    "meshd.toml:21: nodes[0] (mac2).token: the environment variable 'NOT_SET_HERE' is not set",
    "meshd.toml:25: nodes[1] (mac3).url: plain http is only for loopback and tailnet addresses (use https, or set"
    " insecure = true if the network is private)",
    "meshd.toml:26: nodes[1] (mac3).token: must name where the secret lies, never hold it (write"
    ' { env = "NAME" } or { file = "path" })',
    "meshd.toml:29: auth.providers[0]: auth provider \"tokn\" is not installed (did you mean 'token'?)",
    "meshd.toml:31: plugins.clade: plugin \"clade\" is not installed (did you mean 'claude'?)",
]


def test_all_errors_of_both_phases_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert refused(tmp_path, MANY, plugins=(plugin("claude", "active"),)) == MANY_ERRORS


def test_a_good_file_gives_every_section(tmp_path: Path) -> None:
    text = """
[node]
name = "mac1"
[[slots]]
name = "a"
kind = "generic"
cwd = "sub"
env = { X = "1" }
options = { quiet_s = 1 }
[[slots]]
name = "b"
kind = "demo"
[sinks.fleet]
plugin = "supabase"
token = { file = "jwt" }
key = { env = "PATH" }
"""
    (tmp_path / "jwt").write_text("x")
    config = checked(tmp_path, text, sinks={"supabase": SinkOptions})
    assert config.node == "mac1" and [slot.section.name for slot in config.slots] == ["a", "b"]
    assert config.slots[0].cwd == str(tmp_path / "sub") and config.slots[1].cwd == os.path.expanduser("~")
    assert config.slots[0].options == Options(quiet_s=1.0) and config.slots[1].options is None
    assert config.secret_names == {"PATH"}
    options = SinkOptions(SecretRef(file="jwt"), SecretRef(env="PATH"))
    assert config.sinks == (CheckedSink("fleet", "supabase", options),)


def test_a_secret_of_a_sink_that_cannot_be_read_is_an_error_with_its_place(tmp_path: Path) -> None:
    text = '[sinks.fleet]\nplugin = "supabase"\ntoken = { file = "none" }\nkey = { env = "PATH" }\n'
    (problem,) = refused(tmp_path, text, sinks={"supabase": SinkOptions})
    assert problem.startswith("meshd.toml:3: sinks.fleet.token: the secret file") and "No such file" in problem


def test_without_a_file_at_the_default_place_everything_is_default(tmp_path: Path) -> None:
    loaded = load_config(tmp_path / "none" / "meshd.toml", explicit=False)
    assert loaded.config == Config() and loaded.path is None
    with pytest.raises(ConfigErrors, match="there is no such file"):
        load_config(tmp_path / "meshd.toml")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[node]\nname = \n", "meshd.toml:2:8: is not TOML: Invalid value"),
        (b"[node\n", "meshd.toml:1:6: is not TOML"),
        (b"a = '''\n\n", "meshd.toml:3: is not TOML"),
        (b"x = 1\ny = \xff\n", "meshd.toml:2: is not UTF-8 text"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "is not TOML"),
        (b"#" * (2**20 + 1), "more than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_names_line_and_column(tmp_path: Path, raw: bytes, words: str) -> None:
    lines = errors_of(tmp_path, raw)
    assert len(lines) == 1 and words in lines[0]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, b"\xef\xbb\xbf[node]\r\nport = 1\r\n")).config.node.port == 1


def test_a_folder_or_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"is a folder .*meshd\.toml"):
        load_config(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigErrors, match="is not a regular file"):
        load_config(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[slots]\nname = 'x'", "write [[slots]] instead of [slots]"),
        ("slots = 3", "must be a list, not a whole number"),
        ("slots = [3]", "slots[0]: must be a table"),
        ("[[slot]]", "slot: unknown key (did you mean 'slots'?)"),
        ("[[slots]]\nkind = 'x'", "slots[0]: 'name' is missing"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\nenv = { A = 3 }", "(x).env.A: must be text, not a whole number"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\nenv = { 'A=B' = '' }", "can't be an environment variable"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\ncommand = []", "command: is empty"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\nargs = [\"\\u0000\"]", "NUL character"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\ncwd = '~no-such-user/x'", "who does not exist"),
        ("[[slots]]\nname = 'x'\nkind = 'x'\nrows = 1", "must be a whole number >= 2"),
        ("[[slots]]\nname = \"x\\n\"\nkind = 'x'", "for example 'x'"),
        ("[node]\nport = 70000", "node.port: must be a whole number <= 65535"),
        ("[node]\nport = true", "must be a whole number, not true or false"),
        ("[node]\nport = 1\nmesh_port = 1", "same as 'port'"),
        ("[node]\nbind = ['::1', '0::1']", "::1 is there twice"),
        ("[node]\nname = 'a'\n[[nodes]]\nname = 'a'\nurl = 'https://a'", "this node's own name"),
        ("[[nodes]]\nname = 'a'\nurl = 'ftp://a'", "is not a URL of a node"),
        ("[[nodes]]\nname = 'a'\nurl = 'http://[::1'", "is not a URL of a node"),
        ("[[nodes]]\nname = 'a'\nurl = 'https://u:p@a'", "user name or password"),
        ("[[nodes]]\nname = 'a'\nurl = 'https://a'\ntoken = {}", "neither 'env' nor 'file'"),
        ("[[nodes]]\nname = 'a'\nurl = 'https://a'\ntoken = { env = 'A', file = 'b' }", "both 'env' and 'file'"),
        ("[auth]\nproviders = []", "nobody could come in"),
        ("[auth]\nproviders = ['token', 'token']", "there twice"),
        ("[http]\nallowed_origins = ['example.com']", "is not an origin"),
        ("[sinks.a]\nurl = 'x'", "'plugin' is missing"),
        ("[plugins]\nclaude = true", "plugins.claude: must be a table"),
    ],
)
def test_each_rule_names_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in line for line in errors_of(tmp_path, text))


@pytest.mark.parametrize(("text", "line"), [('sinks = ["jsonl"]', 1), ('\n[[sinks]]\nplugin = "jsonl"', 2)])
def test_a_list_of_sinks_is_told_how_to_be_written(tmp_path: Path, text: str, line: int) -> None:
    [error] = errors_of(tmp_path, text)
    assert error == (
        f"meshd.toml:{line}: sinks: must be a table, not a list (write a table for each, as [sinks.<name>])"
    )


def test_a_secret_in_the_wrong_place_is_never_shown(tmp_path: Path) -> None:
    text = "[[nodes]]\nname='a'\nurl='https://a'\ntoken={v}\n"
    for value in ("'hunter-2'", "{ env = 'hunter-2' }", "3", "{ env = 3, hunter = 1 }"):
        assert not any("hunter-2" in line for line in errors_of(tmp_path, text.replace("{v}", value)))


def test_an_uninstalled_kind_of_ours_says_how_to_get_it(tmp_path: Path) -> None:
    text = "[[slots]]\nname = 'c'\nkind = 'claude'\n"
    assert refused(tmp_path, text) == [
        'meshd.toml:3: slots[0] (c).kind: kind "claude" is not installed (pip install meshd-claude)'
    ]
    assert "(installed: demo, generic)" in refused(tmp_path, text.replace("claude", "zzz"))[0]
    disabled = refused(tmp_path, text, plugins=(plugin("claude", "disabled"),))
    assert "[plugins.claude] says enabled = false" in disabled[0]


def test_a_kind_whose_plugin_failed_is_unavailable_and_stops_nobody(tmp_path: Path) -> None:
    text = "[[slots]]\nname = 'c'\nkind = 'acme'\n[[slots]]\nname = 'd'\nkind = 'demo'\n"
    config = checked(
        tmp_path, text, plugins=(plugin("acme", "failed", "ImportError: x"),), broken={"acme": "ImportError: x"}
    )
    assert "ImportError: x" in (config.slots[0].unavailable or "") and config.slots[1].unavailable is None
    config = checked(tmp_path, text.replace("acme", "generic"), broken_kinds={"generic": "kind 'generic' is broken"})
    assert config.slots[0].unavailable == "kind 'generic' is broken"


def test_a_filter_whose_plugin_failed_stops_the_start_because_redaction_must_not_fail_open(tmp_path: Path) -> None:
    text = "[[slots]]\nname = 'd'\nkind = 'demo'\nfilters = ['redact']\n"
    lines = refused(tmp_path, text, plugins=(plugin("redact", "failed", "boom"),), broken={"redact": "boom"})
    assert lines == [
        "meshd.toml:4: slots[0] (d).filters[0]: filter \"redact\" is not installed (plugin 'redact': boom)"
    ]


def test_a_sink_whose_plugin_failed_is_a_warning(tmp_path: Path) -> None:
    text = "[sinks.x]\nplugin = 'hook'\n"
    assert 'sink "hook" is not installed' in refused(tmp_path, text)[0]
    config = checked(tmp_path, text, broken={"hook": "boom"})
    assert 'sink "hook" is not installed' in str(config.warnings[0])


def test_the_options_of_a_kind_are_decoded_strictly(tmp_path: Path) -> None:
    text = "[[slots]]\nname = 'g'\nkind = 'generic'\n[slots.options]\nquiet = 1\n"
    assert refused(tmp_path, text) == [
        "meshd.toml:5: slots[0] (g).options.quiet: unknown key (did you mean 'quiet_s'?)"
    ]


def test_lines_are_found_through_comments_strings_and_nested_tables() -> None:
    text = 'a = """\nb = 1\n[x]\n"""\n[[s]] # one\nk = 1\n[s.o]\nq.r = 2\n[[s]]\n"k" = 3\n[t . u]\nv=1\n'
    index = index_lines(text)
    assert tomllib.loads(text)["s"][1]["k"] == 3
    assert line_of(index, ("a",)) == 1 and line_of(index, ("b",)) is None
    assert line_of(index, ("s", 0, "k")) == 6 and line_of(index, ("s", 0, "o", "q", "r")) == 8
    assert line_of(index, ("s", 1, "k")) == 10
    assert line_of(index, ("t", "u", "v")) == 12 and line_of(index, ("s", 1, "missing", "x")) == 9


SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.datetimes(), st.dates(), st.times(),
    st.sampled_from(["one", "::1", "token", "http://a", "~", "always"]),
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from(
        [name for kind in ("node", "slots", "nodes", "auth", "http", "sinks", "plugins") for name in [kind]]
        + ["name", "kind", "bind", "port", "command", "args", "cwd", "env", "labels", "filters", "options", "url"]
        + ["token", "file", "providers", "allowed_hosts", "plugin", "enabled", "required_plugins", "restart", "rows"]
    ),
    st.text(max_size=5),
)
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))
FILES = st.dictionaries(KEYS, DATA, max_size=6)


@given(FILES)
@settings(max_examples=300, deadline=None)
def test_no_data_crashes_the_loader_and_no_problem_means_that_it_decodes(data: dict[str, Any]) -> None:
    loaded: LoadedConfig = judge(Document("meshd.toml", data), Path("/nowhere/meshd.toml"), environ={})
    assert isinstance(loaded.config, Config)
    if not loaded.problems:
        assert msgspec.convert(data, Config) == loaded.config
    for problem in loaded.problems:
        assert str(problem).isprintable()
    found: set[ConfigProblem] = set()
    try:
        check_against(loaded, Installed())
    except ConfigErrors as error:
        found = set(error.problems)
    assert set(loaded.problems) <= found


@given(st.text(max_size=200) | st.lists(st.sampled_from(list("[]{}=\"'.#\n a1")), max_size=60).map("".join))
@settings(max_examples=200, deadline=None)
def test_no_text_crashes_the_index_of_lines(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in index_lines(text).values())
