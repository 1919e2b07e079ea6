"""A plugin that fails in a hook, any hook, is named and fails alone."""

from collections.abc import Callable
from typing import Any

import click
import pytest

from meshd_core.api import (
    AgentKind,
    DaemonInfo,
    Denial,
    InjectCheck,
    KindProfile,
    Launch,
    LaunchSpec,
    Principal,
    hookimpl,
)  # fmt: skip
from meshd_core.errors import StartFailed
from meshd_core.plugins.host import PluginHost
from meshd_core.plugins.implementations import hook_names

SPEC = LaunchSpec("s1", "n1", ("run",), ("-x",), "/", {})
READY = DaemonInfo("n1", "b", "0", ())
PRINCIPAL = Principal("p", "inject")


class Plain(AgentKind):
    profile = KindProfile("plain", "Plain", ("plain",), "none")


def prepare(host: PluginHost) -> object:
    with pytest.raises(StartFailed, match="plugin 'bad'"):
        host.prepare_launch(Plain(), SPEC)
    return None


def check(host: PluginHost) -> object:
    denial = host.check_inject({"name": "s1"}, PRINCIPAL, InjectCheck("hello", True, "idle"))
    assert denial is not None and "'bad'" in denial.reason
    return None


EXERCISES: dict[str, Callable[[PluginHost], object]] = {
    "meshd_config_type": lambda host: host.infos(),
    "meshd_agent_kinds": lambda host: host.kinds,
    "meshd_output_filters": lambda host: host.filters,
    "meshd_auth_providers": lambda host: host.auth_providers,
    "meshd_fleet_sinks": lambda host: host.sinks,
    "meshd_engines": lambda host: host.engines,
    "meshd_routes": lambda host: host.routes,
    "meshd_cli": lambda host: host.cli_commands(click.Group()),
    "meshd_prepare_launch": prepare,
    "meshd_check_inject": check,
    "meshd_daemon_ready": lambda host: host.daemon_ready(READY),
}

GOOD = """
class F(OutputFilter): name = "f"
class A(AuthProvider): name = "a"
class S(FleetSink): name = "s"
class E(Engine): name = "e"
class C(Struct, forbid_unknown_fields=True): x: int = 1
told = []
@hookimpl
def meshd_config_type(): return C
@hookimpl
def meshd_agent_kinds(ctx): yield Kind("good")
@hookimpl
def meshd_output_filters(ctx): return [F()]
@hookimpl
def meshd_auth_providers(ctx): return [A()]
@hookimpl
def meshd_fleet_sinks(ctx): return [S()]
@hookimpl
def meshd_engines(ctx): return [E()]
@hookimpl
def meshd_routes(ctx): return [Route("/r", ("GET",), "read", print)]
@hookimpl
def meshd_cli(group): group.command("good")(lambda: None)
@hookimpl
def meshd_daemon_ready(info): told.append(info)
"""


def hook_source(hook: str, body: str) -> str:
    names = {"meshd_config_type": "", "meshd_cli": "group", "meshd_daemon_ready": "info"}
    return f"@hookimpl\ndef {hook}({names.get(hook, 'ctx')}):\n    {body}\n"


def test_every_hook_has_an_exercise() -> None:
    assert set(EXERCISES) == set(hook_names())


@pytest.mark.parametrize("hook", hook_names())
@pytest.mark.parametrize("raised", ["RuntimeError('boom')", "SystemExit('boom')"])
def test_a_plugin_that_raises_in_a_hook_is_named_and_fails_alone(site: Any, hook: str, raised: str) -> None:
    site.install("bad", hook_source(hook, f"raise {raised}"))
    module = site.install("good", GOOD)
    host = site.host()
    group = click.Group()
    EXERCISES[hook](host)
    host.cli_commands(group)
    host.daemon_ready(READY)
    bad, good = host.infos()
    reason = raised.split("(")[0] if hook == "meshd_check_inject" else "boom"
    assert reason in (bad.error or "") and (hook == "meshd_config_type" or hook in (bad.error or ""))
    assert good.status == "active" and good.error is None
    assert set(good.provides) == {"kind:good", "filter:f", "auth:a", "sink:s", "engine:e", "route:GET /r"}
    assert "good" in group.commands
    assert __import__(module).told[-1] is READY


@pytest.mark.parametrize("hook", [name for name in hook_names() if name.endswith("s") and name != "meshd_engines"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "must return an iterable"),
        ("return 'text'", "must return an iterable"),
        ("return [42]", "must return instances of"),
        ("return [AgentKind, OutputFilter]", "must return instances of"),
        ("yield object(); raise RuntimeError('late')", "must return instances of"),
    ],
)
def test_wrong_answers_are_refused_before_anyone_uses_them(site: Any, hook: str, body: str, words: str) -> None:
    site.install("bad", hook_source(hook, body))
    host = site.host()
    assert words in (host.infos()[0].error or "")
    assert not (host.kinds or host.filters or host.auth_providers or host.sinks or host.routes)


def test_a_generator_that_raises_midway_brings_nothing(site: Any) -> None:
    site.install("bad", hook_source("meshd_agent_kinds", "yield Kind('one'); raise RuntimeError('late')"))
    host = site.host()
    assert not host.kinds and "late" in (host.infos()[0].error or "")


@pytest.mark.parametrize("name", ["'Bad Name'", "''", "3", "None", "'a\\n'"])
def test_a_kind_needs_a_valid_name(site: Any, name: str) -> None:
    site.install("bad", hook_source("meshd_agent_kinds", f"return [Kind({name})]"))
    host = site.host()
    assert not host.kinds and "no valid name" in (host.infos()[0].error or "")


def test_of_two_kinds_with_one_name_the_first_stays_and_both_plugins_are_named(site: Any) -> None:
    site.install("one", hook_source("meshd_agent_kinds", "return [Kind('x')]"))
    site.install("two", hook_source("meshd_agent_kinds", "return [Kind('x'), Kind('y')]"))
    host = site.host()
    assert set(host.kinds) == {"x", "y"}
    assert host.infos()[0].error is None
    assert host.infos()[1].error == "meshd_agent_kinds: kind 'x' of plugin 'two' is taken by plugin 'one'"
    assert host.infos()[1].provides == ["kind:y"]


@pytest.mark.parametrize(
    "route",
    ["Route('r', ('GET',), 'read', print)", "Route('/r', ('get',), 'read', print)", "Route('/r', (), 'read', print)",
     "Route('/r', ('GET',), 'root', print)", "Route('/r', ('GET',), 'read', None)"],
)  # fmt: skip
def test_a_route_that_could_not_be_served_is_refused(site: Any, route: str) -> None:
    site.install("bad", hook_source("meshd_routes", f"return [{route}]"))
    host = site.host()
    assert not host.routes and "oute" in (host.infos()[0].error or "")


def test_a_kind_launches_itself_if_no_plugin_answers(site: Any) -> None:
    site.install("silent", hook_source("meshd_prepare_launch", "return None"))
    assert site.host().prepare_launch(Plain(), SPEC) == Launch(argv=("run", "-x"))


def test_the_first_plugin_that_answers_decides_the_launch(site: Any) -> None:
    for name in ("a", "b"):
        site.install(name, hook_source("meshd_prepare_launch", f"return Launch(argv=('{name}',))"))
    assert site.host().prepare_launch(Plain(), SPEC).argv == ("a",)
    assert site.host("[node]\nplugin_order = ['b']").prepare_launch(Plain(), SPEC).argv == ("b",)


WRAP = """
@hookimpl(wrapper=True)
def meshd_prepare_launch(ctx, spec):
    launch = yield
    return Launch(argv=(ctx.plugin, *launch.argv), env=launch.env)
"""


def test_sites_wrap_the_launch_the_first_in_order_outermost(site: Any) -> None:
    site.install("a", WRAP)
    site.install("b", WRAP)
    assert site.host().prepare_launch(Plain(), SPEC).argv == ("a", "b", "run", "-x")


@pytest.mark.parametrize(
    "body",
    ["yield; raise ValueError('x')", "yield; return None", "yield; yield", "return Launch(argv=('x',)); yield",
     "raise ValueError('x'); yield"],
)  # fmt: skip
def test_a_wrapper_that_fails_stops_the_launch_and_is_named(site: Any, body: str) -> None:
    site.install("bad", f"@hookimpl(wrapper=True)\ndef meshd_prepare_launch(ctx):\n    {body}\n")
    prepare(site.host())


@pytest.mark.parametrize(
    "body",
    ["return 'argv'", "return Launch(argv=())", "return Launch(argv=('a\\0',))", "return Launch(argv=(1,))",
     "return Launch(argv=('a',), env={'X': 1})"],
)  # fmt: skip
def test_a_launch_that_could_not_be_spawned_is_refused(site: Any, body: str) -> None:
    site.install("bad", hook_source("meshd_prepare_launch", body))
    prepare(site.host())


def test_a_kind_that_raises_at_launch_is_attributed_to_its_plugin(site: Any) -> None:
    site.install("bad", "class K(Kind):\n    def launch(self, spec): raise KeyError('z')\n"
                 + hook_source("meshd_agent_kinds", "return [K('k')]"))  # fmt: skip
    host = site.host()
    with pytest.raises(StartFailed, match="plugin 'bad' could not prepare the launch: KeyError: 'z'"):
        host.prepare_launch(host.kinds["k"], SPEC)


def test_the_first_denial_counts_and_silence_permits(site: Any) -> None:
    site.install("a", hook_source("meshd_check_inject", "return None"))
    host = site.host()
    assert host.check_inject({}, PRINCIPAL, InjectCheck("x", True, "idle")) is None
    site.install(
        "b", "@hookimpl\ndef meshd_check_inject(slot, request):\n    return Denial(slot['name'] + request.text)"
    )
    site.install("c", hook_source("meshd_check_inject", "return Denial('late')"))
    assert site.host().check_inject({"name": "s"}, PRINCIPAL, InjectCheck("x", True, "idle")) == Denial("sx")


@pytest.mark.parametrize("body", ["return True", "return 'no'", "return Denial(3)", "yield", "return (x for x in ())"])
def test_an_answer_that_is_no_denial_denies(site: Any, body: str) -> None:
    site.install("bad", hook_source("meshd_check_inject", body))
    check(site.host())


def test_a_failing_check_does_not_put_the_prompt_into_the_plugin_list(site: Any) -> None:
    site.install("bad", "@hookimpl\ndef meshd_check_inject(request): raise ValueError(request.text)")
    host = site.host()
    denial = host.check_inject({}, PRINCIPAL, InjectCheck("my-password", True, "idle"))
    assert denial and "my-password" not in denial.reason + str(host.infos())


def test_a_check_can_not_change_what_the_next_one_sees(site: Any) -> None:
    site.install("bad", "@hookimpl\ndef meshd_check_inject(slot):\n    slot['name'] = 'other'")
    check(site.host())


def test_a_plugins_command_never_replaces_another(site: Any) -> None:
    site.install("bad", hook_source("meshd_cli", "group.command('ls')(lambda: 1); group.command('mine')(lambda: 1)"))
    group = click.Group()
    own = group.command("ls")(lambda: 0)
    host = site.host()
    host.cli_commands(group)
    assert group.commands["ls"] is own and "mine" in group.commands
    assert "'ls' is already there" in (host.infos()[0].error or "")


def test_built_ins_are_asked_through_the_same_host_and_first(site: Any) -> None:
    class Builtin:
        @hookimpl
        def meshd_agent_kinds(self, ctx: Any) -> list[AgentKind]:
            assert ctx.plugin == "zz"
            return [Plain()]

    site.install("a", hook_source("meshd_agent_kinds", "return [Kind('plain')]"))
    host = site.host(builtins=[("zz", Builtin())])
    assert [plugin.name for plugin in host.infos()] == ["zz", "a"]
    assert isinstance(host.kinds["plain"], Plain)


def test_a_plugin_with_two_implementations_of_one_hook_is_asked_for_both(site: Any) -> None:
    second = "@hookimpl(specname='meshd_agent_kinds')\ndef more(ctx): return [Kind('two')]\n"
    site.install("toy", hook_source("meshd_agent_kinds", "return [Kind('one')]") + second)
    assert set(site.host().kinds) == {"one", "two"}
