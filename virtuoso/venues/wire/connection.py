"""One websocket: its subscriptions, the steps of the clock, and what goes wrong on it.

A step is a tenth of a second of the venue's clock. However far the clock was moved, every step is taken, in order, so
that what a stream says does not depend on how quickly the server runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from virtuoso.venues.wire import binance_streams, bybit_streams
from virtuoso.venues.wire.binance_streams import Stream
from virtuoso.venues.wire.faults import Fault, Faults
from virtuoso.venues.wire.world import VenueClock, World

STEP = 100
POLL = 0.01
"""Seconds between looks at the clock."""
PING_EVERY, PONG_WITHIN = 180_000, 600_000
"""Binance pings every three minutes, and closes where nothing came back for ten."""
LIFETIME = 24 * 3_600_000
MOST_STREAMS = 1_024
_BROKEN = ("silence", "gap", "bad_frame", "close")


class Connection:
    """One client of the streams of a venue."""

    def __init__(self, world: World, clock: VenueClock, faults: Faults, venue: str) -> None:
        self._world, self._clock, self._faults, self._venue = world, clock, faults, venue
        self._streams: dict[str, Stream] = {}
        self._silent_until: dict[str, int] = {}
        self._socket = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20)
        self._combined = False
        self._at = self._opened = self._heard = clock.now() // STEP * STEP

    async def run(self, received: web.Request) -> web.StreamResponse:
        """Serve it until one side closes."""
        await self._socket.prepare(received)
        named = received.query.get("streams", "").split("/")
        if self._venue == "binance":
            self._combined = received.path.endswith("/stream")
            named += received.path.partition("/ws/")[2].split("/")
            await self._subscribe([name for name in named if "@" in name or name.startswith("!")])
        pump = asyncio.create_task(self._pump())
        try:
            async for message in self._socket:
                await self._hear(message.type, message.data)
        except ConnectionError:
            pass  # the client is gone
        finally:
            pump.cancel()
        return self._socket

    async def close(self) -> None:
        """End it, as a server does that goes away."""
        await self._socket.close(code=1001)

    async def _hear(self, kind: WSMsgType, data: Any) -> None:
        self._heard = self._clock.now()
        if kind is WSMsgType.PING:
            if self._faults.meet(("no_pong",), self._venue, "ping", self._heard) is None:
                await self._socket.pong(data)
        elif kind is WSMsgType.TEXT:
            try:
                sent = orjson.loads(data)
            except orjson.JSONDecodeError as fault:
                await self._say({"error": {"code": 3, "msg": f"Invalid JSON: {fault}"}})
                return
            if not isinstance(sent, dict):
                await self._say({"error": {"code": 2, "msg": "Invalid request: expected a map"}})
            elif self._venue == "binance":
                await self._hear_binance(sent)
            else:
                await self._hear_bybit(sent)

    async def _hear_binance(self, sent: dict[str, Any]) -> None:
        method, names, number = sent.get("method"), sent.get("params", []), sent.get("id")
        if method == "SUBSCRIBE":
            await self._subscribe([str(name) for name in names])
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._streams.pop(str(name), None)
        elif method != "LIST_SUBSCRIPTIONS":
            known = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`"
            text = f"Invalid request: unknown variant `{method}`, expected one of {known}"
            await self._say({"error": {"code": 2, "msg": text}, "id": number})
            return
        await self._say({"result": list(self._streams) if method == "LIST_SUBSCRIPTIONS" else None, "id": number})

    async def _hear_bybit(self, sent: dict[str, Any]) -> None:
        op, names, number = sent.get("op"), sent.get("args") or [], str(sent.get("req_id", ""))
        if op == "ping":
            if self._faults.meet(("no_pong",), self._venue, "ping", self._heard) is None:
                await self._say({"success": True, "ret_msg": "pong", "conn_id": "venue", "req_id": number, "op": op})
            return
        wrong = [str(name) for name in names if bybit_streams.open_stream(self._world, str(name)) is None]
        message, done = "", op in ("subscribe", "unsubscribe")
        if not done:
            message = f"error:invalid op {op}"
        elif op == "subscribe" and wrong:
            done, message = False, f"error:handler not found,topic:{wrong[0]}"
        elif op == "subscribe":
            await self._subscribe([str(name) for name in names])
        else:
            for name in names:
                self._streams.pop(str(name), None)
        await self._say({"success": done, "ret_msg": message, "conn_id": "venue", "req_id": number, "op": op})

    async def _subscribe(self, names: list[str]) -> None:
        for name in names:
            if name in self._streams or len(self._streams) >= MOST_STREAMS:
                continue
            if self._venue == "binance":
                self._streams[name] = binance_streams.open_stream(self._world, name)
            elif (made := bybit_streams.open_stream(self._world, name)) is not None:
                self._streams[name] = made

    async def _pump(self) -> None:
        """Take every step that the clock has made."""
        try:
            while not self._socket.closed:
                now = self._clock.now()
                while self._at + STEP <= now and not self._socket.closed:
                    before, self._at = self._at, self._at + STEP
                    await self._step(before, self._at)
                await asyncio.sleep(POLL)
        except ConnectionError:
            pass  # the client is gone

    async def _step(self, before: int, at: int) -> None:
        if self._venue == "binance" and binance_streams.crossed(PING_EVERY, before - self._opened, at - self._opened):
            await self._socket.ping()
        if self._venue == "binance" and at - self._heard > PONG_WITHIN:
            await self._socket.close(code=1008, message=b"Pong timeout")
            return
        if at - self._opened >= LIFETIME:
            await self._socket.close(code=1001)
            return
        for name, stream in list(self._streams.items()):
            for message in stream(before, at):
                await self._tell(name, message, at)

    async def _tell(self, name: str, message: Any, at: int) -> None:
        if at < self._silent_until.get(name, 0):
            return
        fault = self._faults.meet(_BROKEN, self._venue, name, at)
        wrapped = {"stream": name, "data": message} if self._combined else message
        if fault is None:
            await self._say(wrapped)
        else:
            await self._break(fault, name, wrapped, at)

    async def _break(self, fault: Fault, name: str, message: Any, at: int) -> None:
        if fault.kind == "silence":
            self._silent_until[name] = at + fault.ms
        elif fault.kind == "bad_frame":
            text = orjson.dumps(message).decode()
            await self._socket.send_str(text[: len(text) * 2 // 3])
        elif fault.kind == "close":
            await self._socket.close(code=fault.code or 1011, message=fault.message.encode())

    async def _say(self, message: Any) -> None:
        if not self._socket.closed:
            await self._socket.send_str(orjson.dumps(message).decode())
