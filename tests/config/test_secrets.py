"""Secrets are read where they lie, and never shown."""

import os
from pathlib import Path

import pytest

from meshd_core.config.model import SecretRef
from meshd_core.config.secrets import SecretError, exposure, resolve


def test_a_secret_comes_from_the_environment_or_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hunter2\n")
    assert resolve(SecretRef(file="s"), tmp_path) == "hunter2"
    assert resolve(SecretRef(file=str(tmp_path / "s")), Path("/")) == "hunter2"
    assert resolve(SecretRef(env="S"), tmp_path, {"S": " hunter2 "}) == "hunter2"


def test_the_repr_of_a_secret_hides_it(tmp_path: Path) -> None:
    secret = resolve(SecretRef(env="S"), tmp_path, {"S": "hunter2"})
    assert "hunter2" not in repr({"x": secret}) and f"Bearer {secret}" == "Bearer hunter2"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (SecretRef(), "neither"),
        (SecretRef(env="A", file="b"), "both"),
        (SecretRef(env="A"), "'A' is not set"),
        (SecretRef(env="EMPTY"), "'EMPTY' is empty"),
        (SecretRef(file="missing"), "No such file"),
        (SecretRef(file=""), "not a path"),
        (SecretRef(file="a\0b"), "not a path"),
        (SecretRef(file="~no-such-user/x"), "does not exist"),
        (SecretRef(file="empty"), "is empty"),
        (SecretRef(file="binary"), "is not UTF-8"),
        (SecretRef(file="big"), "more than 65536 bytes"),
        (SecretRef(file="."), "not a regular file"),
        (SecretRef(file="pipe"), "not a regular file"),
    ],
)
def test_a_secret_that_can_not_be_had_says_why(tmp_path: Path, ref: SecretRef, words: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xffhunter2")
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretError, match=words) as caught:
        resolve(ref, tmp_path, {"EMPTY": ""})
    assert "hunter2" not in str(caught.value)


def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text("x")
    file.chmod(0o640)
    assert "chmod 600" in (exposure(SecretRef(file="s"), tmp_path) or "")
    file.chmod(0o600)
    assert exposure(SecretRef(file="s"), tmp_path) is None
    assert exposure(SecretRef(file="missing"), tmp_path) is None
