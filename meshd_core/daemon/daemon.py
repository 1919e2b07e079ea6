"""The daemon's life: build the parts, adopt what lives, serve, drain.

Order at start: places and lock, configuration and plugins, addresses, keeper, slots, adoption, then the listeners
answer. What can fail for a reason that a person must mend fails before the first agent is touched.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from meshd_core import __version__
from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.auth.chain import AuthChain
from meshd_core.auth.providers import BuiltinAuth
from meshd_core.auth.tokens import TokenStore
from meshd_core.config.check import CheckedConfig, check_against
from meshd_core.config.load import read_config
from meshd_core.config.places import Places, default_node_name
from meshd_core.config.secrets import resolve
from meshd_core.contracts.daemon import DaemonInfo
from meshd_core.daemon.adoption import Adoption
from meshd_core.daemon.assembly import SlotMaker, start_obstacles
from meshd_core.daemon.boot import new_boot_id
from meshd_core.daemon.engine_view import EngineView
from meshd_core.daemon.judging import Judge
from meshd_core.daemon.keeper_link import KeeperLink, keeper_socket
from meshd_core.daemon.live_slots import LiveSlots
from meshd_core.daemon.node import LocalNode
from meshd_core.daemon.plugin_view import PluginView
from meshd_core.daemon.reload import Reloader, ReloadParts
from meshd_core.daemon.serving import open_listeners, rules_of, serving
from meshd_core.errors import Draining, MeshdError
from meshd_core.events import EventBus
from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.fleet.engines import Engines
from meshd_core.fleet.fleet import Fleet
from meshd_core.mesh.mesh import Mesh
from meshd_core.plugins.host import PluginHost
from meshd_core.pty.errors import KeeperError
from meshd_core.pty.messages import ChildInfo
from meshd_core.registry import Registry
from meshd_core.slots.receipts import ReceiptStore
from meshd_core.slots.slot import Slot
from meshd_core.types import ReloadReport, ReloadRequest

log = logging.getLogger(__name__)

Agents = Literal["stop", "keep"]
Ready = Callable[[tuple[str, ...], Path, Path], None]

STOP_GRACE_S = 2.5
"""For each step of ending an agent when the daemon ends: the whole end stays under 10 s."""
_FORGET_EVERY_S = 3600.0


class Daemon:
    """One node. `prepare` judges everything that needs no event loop; `run` lives until told to end."""

    def __init__(
        self, places: Places, config: CheckedConfig, host: PluginHost, view: PluginView, tokens: TokenStore,
        stop_agents_on_signal: bool,
    ) -> None:  # fmt: skip
        self._places, self._config, self._host, self._view, self._tokens = places, config, host, view, tokens
        self._stop_agents_on_signal = stop_agents_on_signal
        self._registry: Registry[Slot] = Registry(config.node)
        self._live = LiveSlots(self._registry)
        self._bus = EventBus(config.node, new_boot_id(places.state_dir))
        self._agents = AgentTokens()
        self._ending: asyncio.Future[Agents] | None = None
        self._reloader: Reloader | None = None
        self._hangup = asyncio.Event()
        self._keeper = KeeperLink(keeper_socket(places), self._child_exited, self._held)

    @classmethod
    def prepare(cls, places: Places, *, stop_agents_on_signal: bool) -> "Daemon":
        """Read and check configuration and plugins. Raises ConfigErrors, PluginRequiredError, StartupError."""
        loaded = read_config(places.config_file, explicit=places.config_given)
        node = loaded.config.node.name or default_node_name()
        tokens = TokenStore(places.state_dir)
        view = PluginView()
        host = PluginHost.build(
            loaded, builtins=[("builtin-auth", BuiltinAuth(tokens))], node=node, state_dir=places.state_dir, daemon=view
        )
        host.require(loaded.config.node.required_plugins, loaded.config.auth.providers)
        config = check_against(loaded, host)
        for warning in config.warnings:
            log.warning(str(warning))
        return cls(places, config, host, view, tokens, stop_agents_on_signal)

    async def run(self, ready: Ready) -> None:
        """Serve until a signal or `POST /shutdown`. Raises StartupError if something can't be had."""
        loop = asyncio.get_running_loop()
        self._ending = loop.create_future()
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        store = ReceiptStore(self._places.state_dir / "receipts.db")
        maker = SlotMaker(self._host, self._keeper, store, self._places, self._bus, self._agents)
        node = LocalNode(self._registry, store, self._host, self._bus, self._agents, self._end, self._reload)
        mesh = Mesh(self._config, self._bus, self._places.state_dir)
        fleet = self._fleet(node)
        agents: Agents = "keep"
        providers = [self._host.auth_providers[name] for name in self._config.config.auth.providers]
        chain = AuthChain(providers, always=[self._agents])
        try:
            async with AsyncExitStack() as stack:
                listeners = open_listeners(self._config, self._places, chain)
                stack.callback(listeners.close)
                self._agents.environment = {"MESHD_URL": listeners.urls[0]} if listeners.urls else {}
                await self._open_slots(stack, maker)
                await stack.enter_async_context(_owned(self._forget_old(store), "forget"))
                for signum in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(signum, self._signalled)
                token_file = self._tokens.ensure_admin()
                await self._autostart()
                await stack.enter_async_context(fleet.running(listeners.urls))
                await stack.enter_async_context(mesh.running())
                async with serving(
                    node, mesh, fleet, listeners, chain, self._tokens, self._config, self._places
                ) as server:
                    self._view.open(node, mesh, fleet, server.counters)
                    self._reloader = Reloader(
                        ReloadParts(
                            judge=Judge(self._places, self._host, self._config, listeners.local), maker=maker,
                            registry=self._registry, live=self._live, host=self._host, chain=chain, mesh=mesh,
                            fleet=fleet,
                            apply_http=lambda config: server.configure(
                                rules_of(config.config.http, node.name, listeners), config.config.http.audit_text
                            ),
                            require_going_on=node.require_going_on,
                        )
                    )  # fmt: skip
                    await stack.enter_async_context(_owned(self._reload_on_signal(), "reload"))
                    self._host.daemon_ready(
                        DaemonInfo(node=node.name, boot_id=node.boot_id, version=__version__, urls=listeners.urls)
                    )
                    ready(listeners.urls, token_file, self._places.runtime_dir / "meshd.sock")
                    async with self._engines(node).running():
                        agents = await self._ending
                    await self._drain(node, agents)
        finally:
            store.close()
            await self._keeper.close(end_keeper=agents == "stop")

    def _engines(self, node: LocalNode) -> Engines:
        def view(name: str) -> EngineView:
            return EngineView(name, self._view, node, self._bus)

        return Engines(self._host.engines, view, self._host.blame_engine)

    def _fleet(self, node: LocalNode) -> Fleet:
        read_secret = partial(resolve, base=self._config.loaded.base)
        fleet = Fleet(self._host.sinks, self._bus, self._places.state_dir / "sinks", read_secret, node)
        fleet.update(self._config.sinks)
        return fleet

    async def _open_slots(self, stack: AsyncExitStack, maker: SlotMaker) -> None:
        """Keeper, slots, adoption."""
        await self._keeper.open()
        await stack.enter_async_context(_owned(self._keeper.watch(), "keeper"))
        children = await self._keeper.client.children()
        self._check_binaries(children)
        await stack.enter_async_context(self._live.running())
        self._adoption = Adoption(maker, self._registry, self._live)
        await self._adoption.open_slots(self._config, children)

    # -- start --

    def _check_binaries(self, children: list[ChildInfo]) -> None:
        """Refuse to start over a missing program, unless agents are waiting to be adopted: those come first."""
        for obstacle in () if children else start_obstacles(self._config, self._host):
            raise StartupError(f"{obstacle.message}; {obstacle.hint}", ExitCode.MISSING_BINARY)

    async def _autostart(self) -> None:
        """Start what the configuration wants running; one that can't start says so in its slot."""
        for slot in self._registry:
            if slot.section.autostart and slot.name not in self._adoption.adopted:
                try:
                    await slot.start_unasked()
                except MeshdError as error:
                    log.error("slot not started", extra={"slot": slot.name, "reason": str(error)})

    async def _forget_old(self, store: ReceiptStore) -> None:
        while True:
            try:
                store.forget_old()
            except MeshdError as error:
                log.warning("old receipts stay", extra={"reason": str(error)})
            await asyncio.sleep(_FORGET_EVERY_S)

    # -- while it lives --

    def _child_exited(self, info: ChildInfo) -> None:
        slot = self._registry.find(info.slot)
        if slot is not None:
            slot.child_exited(info)

    def _held(self) -> Iterable[tuple[ChildInfo, int | None]]:
        return [(child, slot.master_fd) for slot in self._registry if (child := slot.child) is not None]

    async def _reload(self, request: ReloadRequest) -> ReloadReport:
        if self._reloader is None:
            raise Draining("the daemon is not up yet", hint="try again in a moment")
        return await self._reloader.reload(request)

    async def _reload_on_signal(self) -> None:
        """SIGHUP does what `POST /reload` does without a body; the log has what became of it."""
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            try:
                report = await self._reload(ReloadRequest())
            except MeshdError as error:
                problems = error.details.get("problems", error.hint)
                log.error("configuration not reloaded", extra={"reason": error.message, "problems": problems})
            else:
                log.info("configuration reloaded", extra={"report": msgspec.to_builtins(report)})

    # -- end --

    def _hung_up(self) -> None:
        """A terminal that closes ends what was started to be tried out; a service reads its configuration again."""
        if self._stop_agents_on_signal:
            self._signalled()
        else:
            self._hangup.set()

    def _signalled(self) -> None:
        self._end("stop" if self._stop_agents_on_signal else "keep")

    def _end(self, agents: Agents) -> None:
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(agents)

    async def _drain(self, node: LocalNode, agents: Agents) -> None:
        """Stop taking work, end the agents if asked, say `bye` to every stream."""
        node.draining = True
        running = [slot for slot in self._registry if slot.alive]  # those that are being started, too
        if agents == "stop":
            await asyncio.gather(*(self._stop(slot) for slot in running))
            for child in self._adoption.strangers:
                await self._kill_stranger(child)
        elif running:
            names = ", ".join(slot.name for slot in running)
            with suppress(OSError):  # the terminal may be closed
                print(
                    f"meshd ends; its agents still run: {names}\n"
                    "'meshd serve' takes them up again, 'meshd down' ends them",
                    file=sys.stderr,
                )
        for slot in self._registry:
            slot.close_readers()

    async def _stop(self, slot: Slot) -> None:
        try:
            await slot.stop(STOP_GRACE_S)
        except (MeshdError, KeeperError) as error:
            log.warning("slot not stopped", extra={"slot": slot.name, "reason": str(error)})

    async def _kill_stranger(self, child: ChildInfo) -> None:
        try:
            await self._keeper.client.sweep(child.run, signal.SIGKILL)
        except KeeperError as error:
            log.warning("run not ended", extra={"slot": child.slot, "reason": str(error)})


@asynccontextmanager
async def _owned(coroutine: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """A task of the daemon: cancelled at the end; if it fails, the daemon fails with it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(coroutine, name=name)
        try:
            yield
        finally:
            task.cancel()
