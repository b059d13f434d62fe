"""A connection to a server that can be cut and mended, like a train's in a tunnel."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """A proxy between a browser and a server on this machine; the browser opens `address`."""

    def __init__(self, port: int):
        self._port = port
        self._connected = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    async def listen(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._connected:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writers = {writer, server_writer}
        self._writers |= writers
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))
        self._writers -= writers
        for each in writers:
            each.transport.abort()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self._set(False)

    def mend(self) -> None:
        """Accept connections again."""
        self._set(True)

    def _set(self, connected: bool) -> None:
        async def change() -> None:
            self._connected = connected
            for writer in [] if connected else self._writers:
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def wire(address: str) -> Iterator[Wire]:
    """Yield a wire to the server at an address."""
    line = Wire(int(address.rsplit(":", 1)[1]))
    thread = threading.Thread(target=line._loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(line.listen(), line._loop).result(10)
    try:
        yield line
    finally:
        line._loop.call_soon_threadsafe(line._loop.stop)
        thread.join(10)
