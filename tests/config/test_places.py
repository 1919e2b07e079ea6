"""Where things lie, and who else may reach them."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd_core.config.places import PlaceError, Places, default_node_name, private_dir
from meshd_core.types import NAME_PATTERN


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_option_beats_the_environment_and_that_beats_the_platform(tmp_path: Path) -> None:
    env = {"MESHD_CONFIG": "/e/c.toml", "MESHD_STATE_DIR": "/e/s", "MESHD_RUNTIME_DIR": "/e/r"}
    by_env = Places.find(environ=env)
    assert (by_env.config_file, by_env.state_dir, by_env.runtime_dir) == (Path("/e/c.toml"), Path("/e/s"), Path("/e/r"))
    by_option = Places.find(Path("/o/c.toml"), Path("/o/s"), Path("/o/r"), environ=env)
    assert by_option.state_dir == Path("/o/s") and by_option.config_given
    default = Places.find(environ={})
    assert default.config_file.name == "meshd.toml" and not default.config_given
    assert Places.find(Path("here.toml"), environ={}).config_file == Path.cwd() / "here.toml"


def test_without_a_session_the_runtime_folder_is_still_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    runtime = Places.find(environ={}).runtime_dir
    assert runtime.is_absolute() and runtime != Places.find(environ={}).state_dir


@pytest.mark.usefixtures("open_umask")
def test_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    places = Places.find(state_dir=tmp_path / "a" / "state", runtime_dir=tmp_path / "b" / "run", environ={})
    places.prepare()
    places.prepare()
    for path in (places.state_dir, places.state_dir.parent, places.runtime_dir, places.runtime_dir.parent):
        assert mode(path) == 0o700


def test_a_folder_of_ours_that_others_can_write_to_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(0o777)
    private_dir(path)
    assert mode(path) == 0o700


def test_shared_folders_and_files_are_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(PlaceError, match="shared by all users"):
        private_dir(shared)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PlaceError) as caught:
            private_dir(path)
        assert caught.value.exit_code == 73
    with pytest.raises(PlaceError):
        private_dir(tmp_path / "nul\0")


def test_a_runtime_folder_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(PlaceError, match="others can replace it"):
        Places.find(state_dir=tmp_path / "s", runtime_dir=parent / "r", environ={}).prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else")
def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 12345, 12345)
    with pytest.raises(PlaceError, match="belongs to user id 12345"):
        Places.find(state_dir=tmp_path / "s", runtime_dir=theirs, environ={}).prepare()
    with pytest.raises(PlaceError, match="others can replace it"):
        Places.find(state_dir=tmp_path / "s", runtime_dir=theirs / "meshd", environ={}).prepare()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Mac1.local", "mac1"),
        ("My MacBook", "my-macbook"),
        ("_x_", "x"),
        ("", "node"),
        ("ÄÖ", "node"),
        ("a" * 80, "a" * 63),
    ],
)
def test_the_default_name_of_a_node_is_the_hosts_short_name_made_valid(host: str, name: str) -> None:
    assert default_node_name(host) == name
    assert re.fullmatch(NAME_PATTERN, default_node_name())
