"""A connection to a server that can be cut and mended, as a train's goes in a tunnel and comes back."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """What stands between a browser and a server on this machine; `address` is where the browser goes."""

    def __init__(self, port: int):
        self._port = port
        self._whole = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    async def listen(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        mine = {writer, back}
        self._writers |= mine
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        self._writers -= mine
        for end in mine:
            end.transport.abort()

    def cut(self) -> None:
        """End all connections, and refuse any other."""
        self._set(False)

    def mend(self) -> None:
        """Take connections again."""
        self._set(True)

    def _set(self, whole: bool) -> None:
        async def change() -> None:
            self._whole = whole
            for writer in [] if whole else self._writers:
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def wire(address: str) -> Iterator[Wire]:
    """A wire to the server at an address."""
    there = Wire(int(address.rsplit(":", 1)[1]))
    thread = threading.Thread(target=there._loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(there.listen(), there._loop).result(10)
    try:
        yield there
    finally:
        there._loop.call_soon_threadsafe(there._loop.stop)
        thread.join(10)
