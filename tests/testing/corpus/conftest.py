"""The demo agent with a model, as something to record."""

import sys

import pytest

from meshd_core.testing.corpus.driver import Subject
from meshd_core.testing.corpus.model_demo import demo_home
from meshd_core.testing.corpus.scripts import SCRIPTS
from meshd_core.testing.demo_kind import DemoKind


@pytest.fixture(scope="session")
def demo() -> Subject:
    command = (sys.executable, "-P", "-m", "meshd_core.testing.corpus.model_demo")
    return Subject("demo", "0.1.0", DemoKind(), command, SCRIPTS["demo"], demo_home)
