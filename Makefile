# Thin on purpose: each target is one or two commands that can be typed by hand as well.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
PORT ?= 9451

.PHONY: run test check format test-agents record-agents record-prompts agents-report test-supabase test-matrix bench docs clean

run: $(VENV)/installed
	@exec $(BIN)/meshd demo --port $(PORT)

# Most tests wait for processes: four at a time on two cores, those of one file in one process, since they may share a
# daemon.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 4 --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# Two CLIs at a time; AGENTS=codex,claude-2.1.311 (any version; AGENTS=every: all that were recorded) and PICK="not slow"
# pick. They come from npm into a cache outside this folder (tests/agents/versions.toml).
test-agents: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/agents --agents=$(or $(AGENTS),all) $(if $(PICK),-m "$(PICK)") -n 2 --dist loadgroup

# Records every pinned version again, into tests/corpus, without a network; AGENTS=claude-2.1.332 and
# SCENARIOS=one-line,interrupt pick.
record-agents: $(VENV)/installed-dev
	$(BIN)/python -m meshd_core.testing.corpus record --pins tests/agents/versions.toml --corpus tests/corpus \
	  --agents="$(AGENTS)" --scenarios="$(SCENARIOS)"

# Sends the prompts of tests/agents/test_traps.py to each CLI by a daemon and writes what became of them into
# tests/corpus; AGENTS=claude,codex picks. Some four minutes each, on a machine that does nothing else.
record-prompts: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/agents/test_traps.py -k "each_reaches_the_model or fifty_turns" \
	  --agents=$(or $(AGENTS),all) --record-prompts=tests/corpus

# docs/agents.md: what core and the kinds' plugins make of the recordings, and what became of prompts.
agents-report: $(VENV)/installed-dev
	$(BIN)/python -m meshd_core.testing.corpus report --corpus tests/corpus --output docs/agents.md

# The real @supabase/lite from npm, on embedded PGlite; kept in the same cache.
test-supabase: $(VENV)/installed-dev
	$(BIN)/python -m pytest plugins/meshd-supabase -m supabase

# Core alone, core and each plugin, everything but each plugin: real installations from wheels, in a copy of .venv.
test-matrix: $(VENV)/installed-dev
	$(BIN)/python -m tests.matrix

# AGENTS=claude,codex or AGENTS=all measures real agents instead: minutes, npm, and up to 20 GB of memory.
bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.bench $(if $(AGENTS),--agents=$(AGENTS))

# The pages that come from the code: commands, configuration, errors.
docs: $(VENV)/installed-dev
	$(BIN)/python -m docs.generate

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) .meshd

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meshd needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# One resolver run for core and all plugins: none of them is on a package index under these names. pip compiles what it
# installs, but not what is editable: with PYTHONDONTWRITEBYTECODE each start would compile some 240 modules (0.4 s).
$(VENV)/installed: $(BIN)/python pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . $(PLUGINS:%=--editable ./%)
	@$(BIN)/python -m compileall -q meshd_core plugins
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@
