"""The routes of fleet sinks. Source: protocol section 4."""

from meshd_core.fleet.fleet import Fleet
from meshd_core.http.routes import Call, NoQuery, RouteSpec
from meshd_core.types import SinkList


class FleetApi:
    """Handlers; `fleet` None: there are no sinks."""

    def __init__(self, fleet: Fleet | None) -> None:
        self._fleet = fleet

    async def sinks(self, call: Call[NoQuery, None]) -> SinkList:
        return SinkList([] if self._fleet is None else self._fleet.infos())


def fleet_routes(fleet: Fleet | None) -> list[RouteSpec]:
    """The part of the table that is the fleet's."""
    api = FleetApi(fleet)
    return [RouteSpec("GET", "/sinks", "read", api.sinks, "the fleet sinks: status, counters, errors", SinkList)]
