"""Bearer tokens as they are listed and made."""

from msgspec import Struct

from meshd_core.types.words import Scope


class TokenInfo(Struct, frozen=True):
    """A token as it is listed: everything but its secret."""

    kid: str
    scope: Scope
    slots: tuple[str, ...]
    label: str | None
    created: str
    expires: str | None


class NewToken(TokenInfo, frozen=True, kw_only=True):
    """The one answer that holds the credential itself."""

    token: str


class TokenList(Struct, frozen=True):
    tokens: list[TokenInfo]


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /tokens`; `expires` as `30d`, `12h`, `90m`; null: never."""

    scope: Scope
    slots: tuple[str, ...] = ("*",)
    label: str | None = None
    expires: str | None = None
