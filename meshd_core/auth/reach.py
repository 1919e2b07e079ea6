"""Which slots a principal reaches: globs on slot and node names."""

import re
from fnmatch import fnmatchcase

from meshd_core.contracts.auth import Principal

EVERYTHING = "*@*"
GLOB = re.compile(r"[a-z0-9*?._-]{1,80}(?:@[a-z0-9*?._-]{1,80})?")
"""What a slot glob may look like; brackets are left out, so that a name never needs quoting."""


def reaches(principal: Principal, slot: str, node: str, own_node: str) -> bool:
    """Whether `principal` reaches `slot` on `node`. A glob without `@` speaks of `own_node`'s slots alone."""
    for glob in principal.slots:
        if glob == EVERYTHING or (glob == "*" and node == own_node):
            return True
        slot_glob, at, node_glob = glob.partition("@")
        on_node = fnmatchcase(node, node_glob) if at else node == own_node
        if on_node and fnmatchcase(slot, slot_glob):
            return True
    return False


def reaches_all(principal: Principal) -> bool:
    """Whether nothing on this node is hidden from `principal`."""
    return EVERYTHING in principal.slots or "*" in principal.slots


def reaches_some(principal: Principal, node: str, own_node: str) -> bool:
    """Whether there can be a slot of `node` that `principal` reaches."""
    for glob in principal.slots:
        _, at, node_glob = glob.partition("@")
        if fnmatchcase(node, node_glob) if at else node == own_node:
            return True
    return False
