"""What one test of one cell opens; all of it is closed when the test ends, however it ends."""

import asyncio
import contextlib
from dataclasses import dataclass

from clients import CLIENTS
from wire import Wire

TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgraded": ["polling", "websocket"],
}


@dataclass(frozen=True)
class Cell:
    """A client over a transport."""

    client: str
    transport: str

    @property
    def name(self):
        return f"{self.client} · {self.transport}"


CELLS = [Cell(client, transport) for client in CLIENTS for transport in TRANSPORTS]


class Bench:
    def __init__(self, cell, server, quiet, title):
        self.cell = cell
        self._server = server
        # Pings seldom, as servers do by default.
        self.quiet = quiet
        self._prefix = f"{cell.name} · {title}"
        self._open = []

    @property
    def url(self):
        return self._server.url

    @property
    def transports(self):
        return TRANSPORTS[self.cell.transport]

    def room(self, name):
        """A room that no other test speaks of."""
        return f"{name} · {self._prefix}"

    def client(self, **options):
        """A client that has not begun to connect."""
        return self._keep(CLIENTS[self.cell.client](**options))

    async def open(self, client, namespaces=("/",), auth=None, at=None):
        """Connects it; gives it back when it is welcome and on its last transport."""
        await client.connect((at or self._server).url, self.transports, namespaces, auth)
        for namespace in namespaces:
            (welcome,) = await client.heard("welcome", namespace)
            assert welcome["id"] == client.id(namespace), welcome
        assert client.transport == self.transports[-1], client.transport
        return client

    async def connect(self, **options):
        return await self.open(self.client(), **options)

    @property
    def polls(self):
        """Whether clients do so to the end."""
        return self.transports[-1] == "polling"

    async def wire(self):
        return self._keep(await Wire.to(self._server.port))

    async def clear(self):
        for thing in self._open:
            # What a failed test leaves may be in any state.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(thing.close(), 5)

    def _keep(self, thing):
        self._open.append(thing)
        return thing
