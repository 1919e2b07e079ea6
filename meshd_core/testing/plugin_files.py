"""A plugin that was installed by nobody: files that a daemon finds."""

from pathlib import Path


def install(folder: Path, name: str, source: str) -> dict[str, str]:
    """Install the plugin `name` below `folder`; the environment for a daemon that is to find it."""
    info = folder / "site" / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[meshd_core.v1]\n{name} = {name}\n")
    return {"PYTHONPATH": str(info.parent)}
