"""The simulated exchange as a server: one port with TLS for all its names, and a control port, both on loopback only.

1. `Venue.start` opens them, `Venue.close` ends everything; `async with Venue(world)` does both.
2. A request is answered by the table of its host, after the budget and the faults of the scenario had their say.
3. The control port moves the clock and changes the scenario; it speaks plain HTTP to loopback.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import web

from virtuoso.clock import Env
from virtuoso.errors import ConfigError, VirtuosoError
from virtuoso.venues.wire import archive_host, binance_rest, bybit_rest
from virtuoso.venues.wire.certificates import Certificates, make_certificates
from virtuoso.venues.wire.connection import Connection
from virtuoso.venues.wire.faults import REST, Fault, Faults, Scenario
from virtuoso.venues.wire.limits import Banned, BinanceLimits, BybitLimits
from virtuoso.venues.wire.request import Refusal, Reply, Request
from virtuoso.venues.wire.session import ARCHIVE_HOST, BYBIT_HOSTS, HOSTS, LOOPBACK
from virtuoso.venues.wire.world import VenueClock, World

API_KEY, API_SECRET = "virtuoso-key", "virtuoso-secret"
"""The only account that there is: it can read, nothing more yet."""
PAGE = "<html><head><title>{status}</title></head><body><center><h1>{status} {words}</h1></center></body></html>"
BYBIT_TOO_MANY = 10_006
_SPOT: dict[str, Any] = {
    "/sapi/v1/system/status": {"status": 0, "msg": "normal"},
    "/sapi/v1/capital/config/getall": [],
    "/sapi/v1/margin/allPairs": [],
    "/sapi/v1/margin/isolated/allPairs": [],
}


class Venue:
    """The server.

    Parameters
    ----------
    world : World
    clock : VenueClock
        What it takes for now.
    scenario : Scenario, optional
        What goes wrong; nothing if absent.
    port, control_port : int
        0 takes any that is free.
    env : Env, optional
        The clock of the certificates.

    Attributes
    ----------
    faults : Faults
    authority : Path
        File of the certificate authority, there while the server runs.
    requests : Counter
        How often each path was asked for, faults included.
    """

    def __init__(
        self,
        world: World,
        clock: VenueClock,
        scenario: Scenario | None = None,
        *,
        port: int = 0,
        control_port: int = 0,
        env: Env | None = None,
    ) -> None:
        self.world, self.clock = world, clock
        self.faults = Faults(scenario or Scenario())
        self.port, self.control_port = port, control_port
        self.requests: Counter[str] = Counter()
        self._limit()
        self._env = env or Env()
        self._archive = archive_host.Archive(world)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runners: list[web.AppRunner] = []
        self._connections: set[Connection] = set()
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Open both ports.

        Raises
        ------
        ConfigError
            If a port is taken.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="virtuoso-venue-")
        certificates: Certificates = make_certificates(Path(self._folder.name), HOSTS, self._env)
        self.authority = certificates.authority
        served, control = web.Application(), web.Application()
        served.router.add_route("*", "/{path:.*}", self._serve)
        control.router.add_get("/state", self._state)
        control.router.add_put("/scenario", self._put_scenario)
        control.router.add_post("/faults", self._post_fault)
        control.router.add_delete("/faults", self._delete_faults)
        control.router.add_post("/clock", self._post_clock)
        try:
            self.port = await self._open(served, self.port, certificates)
            self.control_port = await self._open(control, self.control_port, None)
        except OSError as fault:
            await self.close()
            raise ConfigError(f"A port of the venue cannot be opened: {fault}. Give another, or 0 for any.") from None

    async def close(self) -> None:
        """End every connection and close the ports."""
        self._closing.set()
        for connection in list(self._connections):
            await connection.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._folder is not None:
            self._folder.cleanup()

    async def _open(self, app: web.Application, port: int, certificates: Certificates | None) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, LOOPBACK, port, ssl_context=certificates.server() if certificates else None)
        await site.start()
        opened: int = runner.addresses[0][1]
        return opened

    def _limit(self) -> None:
        scenario = self.faults.scenario
        self._limits: dict[str, BinanceLimits | BybitLimits] = {
            "binance": BinanceLimits(scenario.weight_per_minute), "bybit": BybitLimits(scenario.requests_per_5s)
        }  # fmt: skip

    async def _serve(self, received: web.Request) -> web.StreamResponse:
        host = (received.host or "").partition(":")[0]
        venue = "archive" if host == ARCHIVE_HOST else "bybit" if host in BYBIT_HOSTS else "binance"
        if received.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(received, venue)
        self.requests[received.path] += 1
        wait = self.faults.latency(received.path)
        if wait:
            await asyncio.sleep(wait)
        now = self.clock.now()
        if venue == "archive":
            return _sent(self._archive.answer(received.path, now, self.faults))
        request = await self._request(received, host, now)
        fault = self.faults.meet(REST, venue, received.path, now)
        try:
            headers = self._limits[venue].spend(request)
            if fault is not None and fault.kind == "banned":
                self._limits[venue].ban(now, fault.retry_after)
                self._limits[venue].spend(request)
        except Banned as refused:
            return _sent(_limited(venue, refused, now))
        if fault is not None:
            broken = await _broken(received, venue, fault, now, self._closing)
            if broken is not None:
                return broken
        reply = self._answer(venue, request, fault)
        reply.headers.update(headers)
        return await _spoilt(received, reply, fault)

    async def _request(self, received: web.Request, host: str, now: int) -> Request:
        body = (await received.text()) if received.can_read_body else ""
        params = dict(received.query)
        if body and received.content_type == "application/json":
            try:
                sent = orjson.loads(body)
            except orjson.JSONDecodeError:
                sent = {}
            params |= {name: str(value) for name, value in sent.items()} if isinstance(sent, dict) else {}
        elif body:
            params |= {name: str(value) for name, value in (await received.post()).items()}
        return Request(
            self.world, now, received.method, host, received.path, params, received.query_string, body, received.headers
        )  # fmt: skip

    def _answer(self, venue: str, request: Request, fault: Fault | None) -> Reply:
        """Answer from the tables of the venue, as of the time that the fault makes of now."""
        skewed = request.now + (fault.ms if fault is not None and fault.kind == "skew" else 0)
        told = request.now - (fault.ms if fault is not None and fault.kind == "stale" else 0)
        table = binance_rest if venue == "binance" else bybit_rest
        path = request.path
        is_time = path.endswith("/time")
        at = _at(request, skewed if is_time else told)
        try:
            if path in table.SIGNED:
                table.check_signed(_at(request, skewed), API_KEY, API_SECRET)
                made = table.SIGNED[path](at)
            elif path in table.PUBLIC:
                made = table.PUBLIC[path](at)
            elif venue == "binance" and path in _SPOT:
                return Reply(orjson.dumps(_SPOT[path]))
            else:
                return _unknown(venue, path, request.now)
        except Refusal as refused:
            body = (
                binance_rest.failed(refused) if venue == "binance" else bybit_rest.failed(refused, at.now)
            )  # fmt: skip
            return Reply(orjson.dumps(body), refused.status)
        if fault is not None and fault.kind == "holes":
            made = _with_holes(made, self.faults, fault, str(request.params.get("symbol", "")))
        return Reply(orjson.dumps(made if venue == "binance" else bybit_rest.answered(made, skewed)))

    async def _stream(self, received: web.Request, venue: str) -> web.StreamResponse:
        connection = Connection(self.world, self.clock, self.faults, venue)
        self._connections.add(connection)
        try:
            return await connection.run(received)
        finally:
            self._connections.discard(connection)

    async def _state(self, _request: web.Request) -> web.Response:
        return _told({
            "now": self.clock.now(), "end": self.world.end, "seed": self.world.seed,
            "symbols": list(self.world.listings), "connections": len(self._connections),
            "requests": dict(self.requests), "scenario": self.faults.scenario.model_dump(),
            "met": [self.faults.met[n] for n in range(len(self.faults.scenario.faults))],
        })  # fmt: skip

    async def _put_scenario(self, request: web.Request) -> web.Response:
        try:
            self.faults.replace(Scenario.read(await _body(request)))
        except VirtuosoError as fault:
            return _told({"error": str(fault)}, 422)
        self._limit()
        return _told({"scenario": self.faults.scenario.model_dump()})

    async def _post_fault(self, request: web.Request) -> web.Response:
        try:
            added = Scenario.read({"faults": [await _body(request)]}, "the fault").faults
        except VirtuosoError as fault:
            return _told({"error": str(fault)}, 422)
        self.faults.add(added[0])
        return _told({"faults": len(self.faults.scenario.faults)})

    async def _delete_faults(self, _request: web.Request) -> web.Response:
        self.faults.replace(self.faults.scenario.model_copy(update={"faults": ()}))
        self._limit()
        return _told({"faults": 0})

    async def _post_clock(self, request: web.Request) -> web.Response:
        sent = await _body(request)
        ms = sent.get("advance_ms") if isinstance(sent, dict) else None
        if not isinstance(ms, int) or ms < 0:
            return _told({"error": f"advance_ms is a whole number of ms, 0 or more, was {ms!r}"}, 422)
        return _told({"now": self.clock.advance(ms)})


def _at(request: Request, now: int) -> Request:
    return Request(
        request.world, now, request.method, request.host, request.path, request.params, request.query, request.body,
        request.headers,
    )  # fmt: skip


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as fault:
        raise ConfigError(f"The body is not JSON: {fault}") from None


def _told(document: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _sent(reply: Reply) -> web.Response:
    return web.Response(
        body=reply.body, status=reply.status, headers=reply.headers, content_type=reply.content_type
    )  # fmt: skip


def _limited(venue: str, refused: Banned, now: int) -> Reply:
    headers = {"Retry-After": str(refused.retry_after)}
    if venue == "binance":
        return Reply(orjson.dumps(binance_rest.failed(refused)), refused.status, headers)
    if refused.code:
        headers = {
            "X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "0",
            "X-Bapi-Limit-Reset-Timestamp": str(now + refused.retry_after * 1_000),
        }  # fmt: skip
        return Reply(orjson.dumps(bybit_rest.failed(refused, now)), refused.status, headers)
    return Reply(refused.message.encode(), refused.status, {}, "text/plain")


def _unknown(venue: str, path: str, now: int) -> Reply:
    """Answer to a path that is not served, as the venue does to one that does not exist."""
    if venue == "bybit":
        return Reply(b"404 page not found", 404, {}, "text/plain")
    body = {"timestamp": now, "status": 404, "error": "Not Found", "message": "No message available", "path": path}
    return Reply(orjson.dumps(body), 404)


async def _broken(
    received: web.Request, venue: str, fault: Fault, now: int, closing: asyncio.Event
) -> web.StreamResponse | None:
    """Answer without asking the market, where the fault is of that kind."""
    kind = fault.kind
    if kind == "rate_limited":
        refused = (
            Banned(429, -1003, "Too many requests; please use the websocket for live updates.", fault.retry_after)
            if venue == "binance"
            else Banned(200, BYBIT_TOO_MANY, "Too many visits. Exceeded the API Rate Limit.", fault.retry_after)
        )
        return _sent(_limited(venue, refused, now))
    if kind == "error":
        refusal = Refusal(fault.status, fault.code, fault.message)
        body = binance_rest.failed(refusal) if venue == "binance" else bybit_rest.failed(refusal, now)
        return _sent(Reply(orjson.dumps(body), fault.status))
    if kind == "maintenance":
        if venue == "binance":
            body = {"code": -1016, "msg": "This service is no longer available."}
            return _sent(Reply(orjson.dumps(body), 503))
        refusal = Refusal(200, 10_016, "Internal System Error. Planned maintenance is under way.")
        return _sent(Reply(orjson.dumps(bybit_rest.failed(refusal, now)), 200))
    if kind in ("server_error", "html"):
        status = (fault.status or 502) if kind == "server_error" else 200
        return _sent(Reply(PAGE.format(status=status, words="Bad Gateway").encode(), status, {}, "text/html"))
    if kind == "empty":
        return _sent(Reply(b""))
    if kind == "hang":
        await closing.wait()
    if kind in ("disconnect", "hang"):
        if received.transport is not None:
            received.transport.abort()
        return web.Response()
    return None


async def _spoilt(received: web.Request, reply: Reply, fault: Fault | None) -> web.StreamResponse:
    """Send a reply, cut short where the fault says so."""
    if fault is None or fault.kind not in ("malformed", "truncated"):
        return _sent(reply)
    half = reply.body[: max(1, len(reply.body) * 2 // 3)]
    if fault.kind == "malformed":
        return _sent(Reply(half, reply.status, reply.headers))
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type, response.content_length = "application/json", len(reply.body)
    await response.prepare(received)
    await response.write(half)
    if received.transport is not None:
        received.transport.close()
    return response


def _with_holes(made: Any, faults: Faults, fault: Fault, symbol: str) -> Any:
    """Leave bars out: rows that begin with their open time."""
    if isinstance(made, dict) and isinstance(made.get("list"), list):
        return made | {"list": _with_holes(made["list"], faults, fault, symbol)}
    if not isinstance(made, list):
        return made
    return [row for row in made if not (isinstance(row, list) and faults.hole(fault, symbol, int(row[0])))]
