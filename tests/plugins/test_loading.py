"""What is loaded, what is refused, and what it says then."""

import subprocess
import sys
from typing import Any

import pytest

from meshd_core.config.check import check_against
from meshd_core.config.problems import ConfigErrors
from meshd_core.plugins.failures import PluginRequiredError
from meshd_core.types import PluginInfo

KIND = """
@hookimpl
def meshd_agent_kinds(ctx):
    return [Kind("{name}")]
"""


def info(host: Any, name: str) -> PluginInfo:
    return next(plugin for plugin in host.infos() if plugin.name == name)


def test_an_installed_plugin_brings_its_kind(site: Any) -> None:
    site.install("toy", KIND.format(name="toy"))
    host = site.host()
    assert set(host.kinds) == {"toy"}
    assert info(host, "toy") == PluginInfo(
        "toy", "acme-toy", "1.2", "active", ["meshd_agent_kinds"], ["kind:toy"], None, False
    )


def test_plugins_are_found_on_the_path_of_python_itself(site: Any) -> None:
    site.install("toy", KIND.format(name="toy"))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import meshd_core.plugins, meshd_core.plugins.host as h\n"
        "assert not any(m.startswith('toy_') for m in sys.modules)\n"
        "from pathlib import Path; from meshd_core.config.load import read_config\n"
        "host = h.PluginHost.build(read_config(Path('none.toml'), explicit=False), node='n', state_dir=Path('/none'))\n"
        "print(sorted(host.kinds))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(site.root)], capture_output=True, text=True, timeout=30)
    assert "toy" in run.stdout, run.stderr


def test_another_major_of_the_api_is_listed_and_never_imported(site: Any) -> None:
    marker = site.root / "imported"
    site.install("old", f"open({str(marker)!r}, 'w').close()", group="meshd_core.v0")
    site.install("new", f"open({str(marker)!r}, 'w').close()", group="meshd_core.v2")
    host = site.host()
    assert [plugin.status for plugin in host.infos()] == ["incompatible", "incompatible"]
    assert "meshd_core.v2" in (info(host, "new").error or "")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "environ", "status"),
    [
        ("", {"MESHD_PLUGINS": "other, more"}, "not_allowed"),
        ("", {"MESHD_PLUGINS": ""}, "not_allowed"),
        ("[plugins.toy]\nenabled = false\n", {}, "disabled"),
        ("[plugins.toy]\nenabled = 'false'\n", {}, "disabled"),
        ("", {"MESHD_PLUGINS": "toy"}, "active"),
    ],
)
def test_the_allow_list_and_disabling_keep_a_plugin_from_being_imported(
    site: Any, text: str, environ: dict[str, str], status: str
) -> None:
    marker = site.root / "imported"
    site.install("toy", f"open({str(marker)!r}, 'w').close()")
    host = site.host(text, environ=environ)
    assert info(host, "toy").status == status
    assert marker.exists() == (status == "active")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('no\\nluck')", "can't be imported: RuntimeError: no luck"),
        ("import nothing_like_that", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        ("@hookimpl\ndef meshd_agent_kind(ctx): return []", "did you mean 'meshd_agent_kinds'?"),
        ("@hookimpl(specname='meshd_agnt_kinds')\ndef kinds(ctx): return []", "did you mean 'meshd_agent_kinds'?"),
        ("def meshd_agent_kinds(ctx): return []", "is not marked with @hookimpl"),
        ("def meshd_agents_kinds(ctx): return []", "did you mean 'meshd_agent_kinds'?"),
        ("@hookimpl\nasync def meshd_check_inject(ctx): return None", "'async def'"),
        ("@hookimpl\nasync def meshd_agent_kinds(ctx):\n    yield 1", "'async def'"),
        ("@hookimpl\ndef meshd_agent_kinds(context): return []", "context"),
        ("@hookimpl(hookwrapper=True)\ndef meshd_prepare_launch(ctx):\n    yield", "wrapper=True"),
        ("@hookimpl(wrapper=True)\ndef meshd_check_inject(ctx):\n    return (yield)", "meshd_prepare_launch only"),
        ("@hookimpl(tryfirst=True)\ndef meshd_agent_kinds(ctx): return []", "plugin_order"),
        ("@hookimpl\ndef meshd_config_type(): return dict", "msgspec Struct type"),
        ("class C(Struct): pass\n@hookimpl\ndef meshd_config_type(): return C", "forbid_unknown_fields"),
        ("@hookimpl\ndef meshd_config_type(): raise OSError('gone')", "OSError: gone"),
    ],
)
def test_what_can_not_work_is_refused_with_the_reason(site: Any, source: str, words: str) -> None:
    site.install("bad", source)
    site.install("good", KIND.format(name="good"))
    host = site.host()
    assert info(host, "bad").status == "failed"
    assert words in (info(host, "bad").error or "")
    assert "\n" not in (info(host, "bad").error or "")
    assert info(host, "good").status == "active" and set(host.kinds) == {"good"}


def test_an_entry_point_that_names_a_class_is_refused(site: Any) -> None:
    site.install("bad", "class P:\n    @hookimpl\n    def meshd_agent_kinds(self, ctx): return []", target=":P")
    assert "name a module or an instance" in (info(site.host(), "bad").error or "")


def test_a_hook_of_a_later_minor_version_may_be_marked_optional(site: Any) -> None:
    site.install("toy", "@hookimpl(optionalhook=True)\ndef meshd_of_the_future(ctx): return []")
    assert info(site.host(), "toy").status == "active"


def test_two_distributions_with_one_name_are_both_refused_and_both_named(site: Any) -> None:
    site.install("toy", KIND.format(name="toy"), dist="acme-toy")
    site.install("toy", KIND.format(name="toy"), dist="evil-toy")
    host = site.host()
    assert [plugin.status for plugin in host.infos()] == ["failed", "failed"]
    assert all("acme-toy and evil-toy" in (plugin.error or "") for plugin in host.infos())
    assert not host.kinds


def test_no_plugin_takes_the_name_of_a_built_in(site: Any) -> None:
    class Builtin:
        pass

    site.install("token", KIND.format(name="toy"))
    host = site.host(builtins=[("token", Builtin())])
    assert [(plugin.builtin, plugin.status) for plugin in host.infos()] == [(True, "active"), (False, "failed")]
    assert not host.kinds


def test_the_order_is_by_name_unless_the_configuration_says_otherwise(site: Any) -> None:
    for name in ("b", "c", "a"):
        site.install(name)
    assert [plugin.name for plugin in site.host().infos()] == ["a", "b", "c"]
    assert [plugin.name for plugin in site.host("[node]\nplugin_order = ['c']\n").infos()] == ["c", "a", "b"]


def test_a_broken_distribution_of_somebody_else_is_passed_over(site: Any) -> None:
    site.install("toy", KIND.format(name="toy"))
    broken = site.root / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_bytes(b"Name: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_bytes(b"[meshd_core.v1]\n\xff\xfe = nonsense\n")
    (site.root / "empty-1.0.dist-info").mkdir()
    assert set(site.host().kinds) == {"toy"}


CONFIGURED = """
class Config(Struct, forbid_unknown_fields=True):
    url: str
    retries: int = 3

@hookimpl
def meshd_config_type():
    return Config

@hookimpl
def meshd_agent_kinds(ctx):
    return [Kind(f"toy-{ctx.config.retries}-{ctx.node}-{ctx.plugin}")]
"""


def test_a_plugin_gets_its_own_typed_configuration(site: Any) -> None:
    site.install("toy", CONFIGURED)
    assert set(site.host("[plugins.toy]\nenabled = true\nurl = 'x'\nretries = 5\n").kinds) == {"toy-5-n1-toy"}


def test_errors_in_a_plugins_table_are_errors_of_the_file_all_at_once(site: Any) -> None:
    site.install("toy", CONFIGURED)
    text = "[plugins.toy]\nretrys = 5\nretries = 'x'\n"
    host = host_with_token(site, text)
    assert info(host, "toy").status == "failed"
    with pytest.raises(ConfigErrors) as caught:
        check_against(site.config(text), host)
    lines = str(caught.value).splitlines()
    assert lines == [
        "meshd.toml:1: plugins.toy: 'url' is missing",
        "meshd.toml:2: plugins.toy.retrys: unknown key (did you mean 'retries'?)",
        "meshd.toml:3: plugins.toy.retries: must be a whole number, not text",
    ]


def test_a_plugin_that_nobody_configured_fails_alone(site: Any) -> None:
    site.install("toy", CONFIGURED)
    host = site.host()
    assert info(host, "toy").error == "[plugins.toy]: meshd.toml: plugins.toy: 'url' is missing"
    check_against(site.config(), host_with_token(site))


def host_with_token(site: Any, text: str = "") -> Any:
    from meshd_core.api import AuthProvider, hookimpl

    class Token(AuthProvider):
        name = "token"

    class Builtin:
        @hookimpl
        def meshd_auth_providers(self, ctx: Any) -> list[Token]:
            return [Token()]

    return site.host(text, builtins=[("auth", Builtin())])


def test_keys_for_a_plugin_without_configuration_are_an_error(site: Any) -> None:
    site.install("toy")
    host = site.host("[plugins.toy]\nx = 1\n")
    assert "has no configuration" in str(host.inventory().problems[0])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "is not installed; did you mean 'guards'?"),
        ("raise ValueError('x')", "ValueError: x"),
        ("@hookimpl\ndef meshd_agent_kinds(ctx): raise ValueError('y')", "ValueError: y"),
    ],
)
def test_a_required_plugin_that_does_not_work_stops_the_start(site: Any, source: str | None, words: str) -> None:
    site.install("guards")
    if source is not None:
        site.install("guard", source)
    host = site.host()
    with pytest.raises(PluginRequiredError, match="guard") as caught:
        host.require(["guard"], [])
    assert words in str(caught.value) and caught.value.exit_code == 76
    host.require(["guards"], [])


def test_a_configured_auth_provider_whose_plugin_failed_stops_the_start(site: Any) -> None:
    site.install("whois", "raise ValueError('x')")
    with pytest.raises(PluginRequiredError, match="'whois' can't load: plugin 'whois'"):
        site.host().require([], ["whois"])


def test_a_required_plugin_with_a_wrong_table_is_an_error_of_the_configuration(site: Any) -> None:
    site.install("toy", CONFIGURED)
    host = site.host("[plugins.toy]\nurl = 3\n")
    host.require(["toy"], ["toy"])
    assert "plugins.toy.url: must be text" in str(host.inventory().problems[0])
    with pytest.raises(PluginRequiredError):
        site.host().require(["toy"], [])
