"""A wire between clients and the server, to cut."""

import asyncio
import contextlib


class Wire:
    @classmethod
    async def to(cls, port):
        wire = cls()
        wire._to = port
        wire._strands = set()
        wire._whole = True
        wire._door = await asyncio.start_server(wire._take, "127.0.0.1", 0)
        wire.url = f"http://127.0.0.1:{wire._door.sockets[0].getsockname()[1]}"
        return wire

    def cut(self):
        """Ends all connections without a goodbye; new ones end at once until the wire is mended."""
        self._whole = False
        for writer in list(self._strands):
            writer.transport.abort()

    def mend(self):
        self._whole = True

    async def close(self):
        self.cut()
        self._door.close()

    async def _take(self, reader, writer):
        if not self._whole:
            writer.transport.abort()
            return
        self._strands.add(writer)
        beyond = None
        try:
            from_server, beyond = await asyncio.open_connection("127.0.0.1", self._to)
            self._strands.add(beyond)
            if not self._whole:
                return
            await asyncio.gather(_pour(reader, beyond), _pour(from_server, writer))
        except OSError:
            pass
        finally:
            for end in filter(None, (writer, beyond)):
                self._strands.discard(end)
                end.transport.abort()


async def _pour(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
