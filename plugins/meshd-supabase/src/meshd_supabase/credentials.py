"""Tokens of nodes: made for a person with the project's signing secret, and looked at before they are used.

What a node may do is decided by the receiver's row security alone. Looking at a token here only keeps keys off a node
that would not be subject to row security at all.
"""

import time

import jwt
from msgspec import Struct

MIN_SECRET_CHARS = 32
"""Of the signing secret; Supabase asks for as many."""
_PRIVILEGED_ROLES = ("service_role", "supabase_admin", "postgres")


class PrivilegedKey(ValueError):
    """A key that row security doesn't bind; the message holds none of it."""


class Claims(Struct, frozen=True):
    """What a token is to say: exactly one of `node` and `viewer`."""

    node: str | None = None
    viewer: bool = False
    role: str = "authenticated"
    lifetime_s: int = 365 * 86400


def mint(claims: Claims, secret: str, now: int | None = None) -> str:
    """A JWT, signed with HS256. Raises ValueError if the secret is too short to be one."""
    if len(secret) < MIN_SECRET_CHARS:
        raise ValueError(f"the signing secret has fewer than {MIN_SECRET_CHARS} characters")
    issued = int(time.time()) if now is None else now
    said: dict[str, str | int | bool] = {
        "role": claims.role, "aud": "authenticated", "iss": "meshd", "iat": issued, "exp": issued + claims.lifetime_s,
    }  # fmt: skip
    if claims.node is not None:
        said |= {"sub": f"meshd:{claims.node}", "meshd_node": claims.node}
    if claims.viewer:
        said |= {"sub": "meshd:viewer", "meshd_viewer": True}
    return jwt.encode(said, secret, algorithm="HS256")


def check_unprivileged(key: str) -> None:
    """Raises PrivilegedKey for a secret key or a token whose role row security doesn't bind."""
    if key.startswith("sb_secret_"):
        raise PrivilegedKey("is a secret key of the project, which no node must hold: use a publishable key")
    role = _claims(key).get("role")
    if role in _PRIVILEGED_ROLES:
        raise PrivilegedKey(f"has the role {role}, which row security does not bind: no node must hold it")


def claimed_node(token: str) -> str | None:
    """The node that `token` says it is for, if it says so; not verified."""
    node = _claims(token).get("meshd_node")
    return node if isinstance(node, str) else None


def _claims(token: str) -> dict[str, object]:
    """The claims of a JWT, unverified; none if it isn't one."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return {}
