"""The server under test: a child process, started with an environment and stopped by its id."""

import asyncio
import os
import re
import shlex
from pathlib import Path

from clients import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

# A client that polls and disconnects may forget to end its session. Then it waits until its last
# poll comes back, which the next ping brings.
PING_OFTEN = {"PING_INTERVAL": "1000"}
# A ping that lies unread when a client closes its WebSocket makes a reset of that.
PING_SELDOM = {}


class Server:
    @classmethod
    async def start(cls, heartbeat):
        server = cls()
        command = shlex.split(os.environ.get("SERVER", "target/debug/fixture"))
        server._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, "PORT": "0", **heartbeat},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        server._complaints = asyncio.ensure_future(server._process.stderr.read())
        try:
            server.port = await asyncio.wait_for(server._announced(), PATIENCE)
        except BaseException:
            server._process.kill()
            raise
        return server

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def stop(self):
        """Asks the server to end; gives what was wrong with it, if anything was."""
        if self._process.returncode is not None:
            return f"it ended by itself with {self._process.returncode}\n{await self._said()}"
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        except asyncio.TimeoutError:
            self._process.kill()
            return "it did not end"
        said = await self._said()
        return f"it panicked\n{said}" if "panicked" in said else None

    async def _announced(self):
        async for line in self._process.stdout:
            found = re.fullmatch(rb"listening on http://127\.0\.0\.1:(\d+)\n", line)
            if found:
                # Read to the end, so that a talkative server never fills its pipe.
                self._reading = asyncio.ensure_future(self._process.stdout.read())
                return int(found[1])
        raise RuntimeError(f"the server ended before it listened\n{await self._said()}")

    async def _said(self):
        return (await self._complaints).decode(errors="replace")
