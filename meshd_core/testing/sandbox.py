"""Homes for real agent CLIs: nothing of the person's is read or changed, no question is asked, no network is needed.

Each function writes a CLI's configuration below a folder and returns the environment that makes the CLI use it and the
fake model backend. Facts measured with claude 2.1.330, opencode 1.18.33, codex 0.169.0, gemini-cli 0.61.0 and pi
0.73.1.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from meshd_core.testing.model_backend import MODEL

FAKE_KEY = "sk-ant-fake-0000000000000000000000000000000000000000"
"""Not a secret: the backend takes any key."""
APPROVED_KEY_CHARACTERS = 20
"""claude remembers an approved key by its end."""
_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "COLORTERM")


def base_environment(home: Path) -> dict[str, str]:
    """Only what a program needs, and every folder of the user's below `home`."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_DATA_HOME=str(home / ".local/share"),
        XDG_STATE_HOME=str(home / ".local/state"),
        XDG_CACHE_HOME=str(home / ".cache"),
        TERM="xterm-256color",
    )
    return environment


def claude_home(home: Path, cwd: Path, backend_url: str, *, key_approved: bool = True) -> dict[str, str]:
    """A home of claude that trusts `cwd` and talks to `backend_url`; without an approved key it asks for that first."""
    config_dir = home / ".claude"
    _write_json(
        config_dir / ".claude.json",
        {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {
                "approved": [FAKE_KEY[-APPROVED_KEY_CHARACTERS:]] if key_approved else [],
                "rejected": [],
            },
            "projects": {str(cwd): {"hasTrustDialogAccepted": True}},
        },
    )
    return {
        **base_environment(home),
        "CLAUDE_CONFIG_DIR": str(config_dir),
        "ANTHROPIC_BASE_URL": backend_url,
        "ANTHROPIC_API_KEY": FAKE_KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def opencode_home(home: Path, cwd: Path, backend_url: str) -> dict[str, str]:
    """A home of opencode that asks before edits and commands and talks to `backend_url`; it trusts any `cwd`."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Fake",
        "options": {"baseURL": f"{backend_url}/v1", "apiKey": FAKE_KEY},
        "models": {MODEL: {"name": "Fake model"}},
    }
    _write_json(
        home / ".config/opencode/opencode.json",
        {
            "provider": {"fake": provider},
            "model": f"fake/{MODEL}",
            "small_model": f"fake/{MODEL}",
            "permission": {"bash": "ask", "edit": "ask"},
            "autoupdate": False,
            "share": "disabled",
        },
    )
    return {
        **base_environment(home),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }


def codex_home(home: Path, cwd: Path, backend_url: str) -> dict[str, str]:
    """A home of codex that trusts `cwd`, asks before it leaves its sandbox, and talks to `backend_url`."""
    folder = home / ".codex"
    folder.mkdir(parents=True, exist_ok=True)
    config = f"""\
model = "gpt-5-codex"
model_provider = "fake"
approval_policy = "on-request"
sandbox_mode = "workspace-write"

[model_providers.fake]
name = "Fake"
base_url = "{backend_url}/v1"
env_key = "FAKE_KEY"
wire_api = "responses"

[projects."{cwd}"]
trust_level = "trusted"
"""
    (folder / "config.toml").write_text(config)
    return {**base_environment(home), "CODEX_HOME": str(folder), "FAKE_KEY": FAKE_KEY}


def gemini_home(home: Path, cwd: Path, backend_url: str) -> dict[str, str]:
    """A home of gemini-cli that trusts `cwd` and talks to `backend_url`."""
    folder = home / ".gemini"
    settings = {
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": True}},
    }
    _write_json(folder / "settings.json", settings)
    _write_json(folder / "trustedFolders.json", {str(cwd): "TRUST_FOLDER"})
    return {
        **base_environment(home),
        "COLORTERM": "truecolor",
        "GEMINI_API_KEY": FAKE_KEY,
        "GOOGLE_GEMINI_BASE_URL": backend_url,
    }


def pi_home(home: Path, cwd: Path, backend_url: str) -> dict[str, str]:
    """A home of pi that talks to `backend_url`; it trusts any `cwd` and runs every command unasked."""
    folder = home / ".pi/agent"
    model = {"id": MODEL, "name": "Fake model", "input": ["text"], "contextWindow": 200000, "maxTokens": 8192}
    provider = {"baseUrl": f"{backend_url}/v1", "api": "openai-completions", "apiKey": FAKE_KEY, "models": [model]}
    _write_json(folder / "models.json", {"providers": {"fake": provider}})
    _write_json(folder / "settings.json", {"defaultProvider": "fake", "defaultModel": MODEL})
    return {**base_environment(home), "PI_OFFLINE": "1"}


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2))
