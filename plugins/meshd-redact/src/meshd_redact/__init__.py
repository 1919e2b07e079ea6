"""The output filter `redact`: removes secrets from every text that a slot shows.

If it can't judge a text, the text is withheld.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from meshd_core.api import FilterStream, OutputFilter, PluginContext, hookimpl
from meshd_redact.redactor import Redactor
from meshd_redact.search import Search
from meshd_redact.shapes import Shape, common_shapes, own_shape


class RedactConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugins.redact]`."""

    patterns: dict[str, str] = field(default_factory=dict)
    """Your own by name: regular expressions, each for a whole secret. A group `v` limits what is removed."""
    common: bool = True
    """Whether the common token shapes and private keys are removed."""
    replacement: str = "[redacted]"

    def __post_init__(self) -> None:
        if "\n" in self.replacement:
            raise ValueError("the replacement must be one line")
        self.shapes()

    def shapes(self) -> list[Shape]:
        """What is looked for. Raises ValueError, naming the pattern that is none."""
        own = [own_shape(name, pattern) for name, pattern in self.patterns.items()]
        return own + (common_shapes() if self.common else [])


class RedactStream(FilterStream):
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def feed(self, line: str) -> Sequence[str]:
        return self._redactor.feed(line)

    def pending(self) -> bool:
        return self._redactor.is_open

    def idle(self) -> Sequence[str]:
        return self._redactor.release()

    def flush(self) -> Sequence[str]:
        return self._redactor.release()


class RedactFilter(OutputFilter):
    """Removes what matches one of the configured shapes; never fails open."""

    name = "redact"

    def __init__(self, config: RedactConfig) -> None:
        self._shapes, self._replacement, self._keys = config.shapes(), config.replacement, config.common
        self._search = Search()

    def redactor(self) -> Redactor:
        return Redactor(self._shapes, self._replacement, self._search, keys=self._keys)

    def open(self, slot: str) -> FilterStream:
        return RedactStream(self.redactor())

    def block(self, text: str) -> str:
        """A text of one or more lines (a screen, a reply) as it may be shown; it keeps its number of lines."""
        redactor = self.redactor()
        lines = [shown for line in text.split("\n") for shown in redactor.feed(line)]
        return "\n".join(lines + redactor.release())


@hookimpl
def meshd_config_type() -> type[Struct]:
    """`[plugins.redact]`."""
    return RedactConfig


@hookimpl
def meshd_output_filters(ctx: PluginContext) -> Iterable[OutputFilter]:
    """The filter `redact`."""
    return (RedactFilter(ctx.config),)
