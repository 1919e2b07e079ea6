"""docs/plugins.md documents every hook with its exact signature, and its examples load."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

from meshd_core import hookspecs
from meshd_core.config.decode import Document
from meshd_core.config.load import judge
from meshd_core.plugins.host import PluginHost
from meshd_core.plugins.implementations import hook_names
from tests.docs.markdown import ROOT, Page


@pytest.fixture
def page(pages: dict[str, Page]) -> Page:
    return pages["docs/plugins.md"]


def signature(function: ast.stmt) -> str:
    assert isinstance(function, ast.FunctionDef)
    returns = "" if function.returns is None else f" -> {ast.unparse(function.returns)}"
    return f"def {function.name}({ast.unparse(function.args)}){returns}"


def specified() -> dict[str, ast.FunctionDef]:
    tree = ast.parse(Path(hookspecs.__file__).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_hook_has_a_heading_and_no_heading_is_for_a_hook_that_is_not_there(page: Page) -> None:
    assert [heading for heading in page.headings() if heading.startswith("meshd_")] == list(hook_names())


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_is_documented_with_its_exact_signature(page: Page, hook: str) -> None:
    function = ast.parse(page.code("python", hook)[0]).body[0]
    assert signature(function) == signature(specified()[hook])


@pytest.mark.parametrize("hook", hook_names())
def test_a_hook_is_documented_with_its_mode_and_failure_policy(page: Page, hook: str) -> None:
    text = page.section(hook)
    assert "*If it fails:*" in text
    mode = text.partition("*Mode:*")[2].partition("*If it fails:*")[0]
    options = getattr(getattr(hookspecs, hook), f"{hookspecs.PROJECT}_spec")
    assert options["historic"] == ("historic" in mode)
    assert options["firstresult"] == ("first " in mode)


def load(name: str, source: str, tables: dict[str, object], folder: Path) -> PluginHost:
    module = types.ModuleType(name)
    exec(compile(source, f"docs/plugins.md: {name}", "exec"), vars(module))
    loaded = judge(Document("meshd.toml", {"plugins": {name: tables}}), folder / "meshd.toml", environ={})
    return PluginHost.build(loaded, builtins=[(name, module)], node="test", state_dir=folder, environ={}, path=[])


def test_the_complete_example_is_a_kind_that_loads(page: Page, tmp_path: Path) -> None:
    source = page.code("python", "A complete plugin")[0]
    assert len(source.split("\n")) <= 40
    host = load("python-prompt", source, {}, tmp_path)
    assert [(info.status, info.error) for info in host.infos()] == [("active", None)]
    assert list(host.kinds) == ["python-prompt"]


def test_the_example_of_a_configuration_loads(page: Page, tmp_path: Path) -> None:
    source = page.code("python", "Configuration of a plugin")[0]
    host = load("redact", source, {"pattern": "x"}, tmp_path)
    assert [(info.status, info.error) for info in host.infos()] == [("active", None)]


def test_the_example_of_a_wrapper_loads(page: Page, tmp_path: Path) -> None:
    source = page.code("python", "meshd_prepare_launch")[1]
    host = load("nice", source, {}, tmp_path)
    assert [(info.status, info.error) for info in host.infos()] == [("active", None)]


def test_the_plugins_of_this_repository_are_listed(page: Page) -> None:
    for path in (ROOT / "plugins").iterdir():
        if (path / "pyproject.toml").exists():
            assert path.name in page.section("Built-ins and installed kinds")


def test_the_example_of_a_recorder_records_what_can_be_replayed(page: Page, tmp_path: Path) -> None:
    (tmp_path / "record.py").write_text(page.code("python", "Testing a kind")[0])
    for command in (
        ["record.py", "one-line"],
        ["-m", "meshd_core.testing.corpus", "replay", "--corpus", "corpus", "demo-0.1.0/one-line"],
    ):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
    assert "said   idle" in done.stdout


def test_the_example_of_a_sinks_test_passes(page: Page, tmp_path: Path) -> None:
    (tmp_path / "test_folder.py").write_text(page.code("python", "Testing a sink")[0])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
