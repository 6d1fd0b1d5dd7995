"""The two clients of python-socketio behind one face, so that each test is written once.

`Threaded` is `socketio.Client` on requests and websocket-client, `Asynchronous` is
`socketio.AsyncClient` on aiohttp. Every call here is awaited; those of the threaded client run in a
thread meanwhile.
"""

import asyncio
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import socketio

# How long anything may take. Long, so that a busy machine fails nothing.
PATIENCE = 20

# Comes back soon, and for as long as it takes. Sooner would be too soon: a client that loses its
# connection still tidies up behind it, and what it tidies must not be the next one.
EAGER = {"reconnection": True, "reconnection_delay": 0.5, "reconnection_delay_max": 1}

_threads = ThreadPoolExecutor(max_workers=48)

# The threaded client handles each packet in a thread of its own, its attachments too. So it relies
# on a thread that is started to get its few instructions done before another one runs. On a busy
# machine that holds if Python changes threads where they wait, and not by the clock.
sys.setswitchinterval(1)


class Face:
    """A client of one connection. What it hears is kept until it is asked for."""

    def __init__(self, kind, **options):
        self._loop = asyncio.get_running_loop()
        self._heard = defaultdict(asyncio.Queue)
        self._client = kind(**{"reconnection": False, **options})

    def listen(self, event, namespace="/", answer=None):
        """Keeps such events from now on; what `answer` makes of their arguments is their ack."""

        def handler(*args):
            queue = self._heard[namespace, event]
            self._loop.call_soon_threadsafe(queue.put_nowait, args)
            return None if answer is None else answer(*args)

        self._client.on(event, handler, namespace=namespace)

    async def heard(self, event, namespace="/"):
        """The arguments of the next such event."""
        try:
            return await asyncio.wait_for(self._heard[namespace, event].get(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f'no "{event}" in {namespace} for {PATIENCE} s') from None

    def heard_so_far(self, event, namespace="/"):
        """The arguments of all such events that nobody has asked for."""
        queue = self._heard[namespace, event]
        return [queue.get_nowait() for _ in range(queue.qsize())]

    async def connect(self, url, transports, namespaces=("/",), auth=None):
        for namespace in namespaces:
            self.listen("welcome", namespace)
            self.listen("connect_error", namespace)
            self.listen("disconnect", namespace)
        connecting = self._client.connect
        await self._do(
            connecting,
            url,
            transports=transports,
            namespaces=list(namespaces),
            auth=auth,
            wait=True,
            wait_timeout=PATIENCE,
        )

    async def emit(self, event, *args, namespace="/"):
        # A tuple is several arguments.
        await self._do(self._client.emit, event, args, namespace=namespace)

    async def call(self, event, *args, namespace="/"):
        """Emits, and gives what the server acks: one value, or a tuple of several."""
        calling = self._client.call
        return await self._do(calling, event, args, namespace=namespace, timeout=PATIENCE)

    async def fence(self, namespace="/"):
        """When this returns, all that the server sent to this client before has arrived."""
        await self.call("echo-ack", "fence", namespace=namespace)

    async def disconnect(self):
        await self._do(self._client.disconnect)

    async def close(self):
        """Ends the client, whatever it is doing."""
        await self._do(self._client.shutdown)

    @property
    def connected(self):
        return self._client.connected

    @property
    def transport(self):
        return self._client.transport()

    def id(self, namespace="/"):
        return self._client.get_sid(namespace)


class Threaded(Face):
    def __init__(self, **options):
        super().__init__(socketio.Client, handle_sigint=False, **options)

    async def _do(self, function, *args, **kwargs):
        doing = self._loop.run_in_executor(_threads, lambda: function(*args, **kwargs))
        return await asyncio.wait_for(doing, 2 * PATIENCE)


class Asynchronous(Face):
    def __init__(self, **options):
        super().__init__(socketio.AsyncClient, handle_sigint=False, **options)

    async def _do(self, function, *args, **kwargs):
        return await asyncio.wait_for(function(*args, **kwargs), 2 * PATIENCE)


CLIENTS = {"Client": Threaded, "AsyncClient": Asynchronous}
