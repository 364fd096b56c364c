"""How an unpatched client comes to the simulated venue: real names, a resolver to loopback, a trusted authority.

ccxt takes an aiohttp session; for it the exchange is where it always was, so that even its classes of errors, which
depend on the address, are those of production. A name that the venue does not serve cannot be reached at all.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

LOOPBACK = "127.0.0.1"
BINANCE_HOSTS = ("fapi.binance.com", "fstream.binance.com", "ws-fapi.binance.com", "api.binance.com")
BYBIT_HOSTS = ("api.bybit.com", "stream.bybit.com")
ARCHIVE_HOST = "data.binance.vision"
HOSTS = (*BINANCE_HOSTS, *BYBIT_HOSTS, ARCHIVE_HOST)


class LoopbackResolver(AbstractResolver):
    """Resolves the names that the venue serves to its port on loopback, and no other."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the address of the venue, whatever the port that the address of the client says."""
        if host not in HOSTS:
            raise OSError(
                errno.EHOSTUNREACH, f"{host} is not served here: the simulated venue serves {', '.join(HOSTS)}."
            )
        return [
            ResolveResult(
                hostname=host, host=LOOPBACK, port=self._port, family=socket.AF_INET, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def venue_session(authority: str | Path, port: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session for ccxt: `ccxt.pro.binanceusdm({"session": session})`.

    Parameters
    ----------
    authority : str or Path
        File of the certificate authority that `virtuoso venue` names.
    port : int
        Where it listens.

    Examples
    --------
    >>> import ccxt.pro
    >>> async def last(authority, port):
    ...     async with venue_session(authority, port) as session:
    ...         exchange = ccxt.pro.bybit({"session": session})
    ...         return (await exchange.fetch_ticker("BTC/USDT:USDT"))["last"]
    """
    trusted = ssl.create_default_context(cafile=str(authority))
    connector = aiohttp.TCPConnector(ssl=trusted, resolver=LoopbackResolver(port), use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session
