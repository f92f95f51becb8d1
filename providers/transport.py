"""The only module that opens connections to providers, and keeps those that may be used again.

A connection goes back to the pool only after an answer that ended as HTTP says it ends; stray bytes, a cut or
a cancelled answer close it.
"""

import asyncio
import ipaddress
import socket
import ssl

from providers.connection import (
    Answer,
    ConnectFailed,
    Connection,
    Destination,
    DestinationRefused,
    UpstreamRequest,
)
from providers.destinations import Refused, check_address

# A connection is used again only after this long: a second answer that a confused provider sends
# right behind the first one would be taken for the next request's.
REST_SECONDS = 0.005
_IDLE_SECONDS = 50.0  # below the 60 s at which common servers and balancers close


class Transport:
    """A pool of connections, by destination. Use `ask` from one event loop."""

    def __init__(
        self,
        *,
        connect_timeout: float,
        rest_seconds: float = REST_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._rest_seconds = rest_seconds
        self._connect_timeout = connect_timeout
        self._tls = tls or ssl.create_default_context()
        self._idle: dict[Destination, list[Connection]] = {}
        self._open: set[Connection] = set()

    async def ask(self, request: UpstreamRequest, *, fresh: bool = False) -> Answer:
        """Send a request and await the head of its answer. Raises `UpstreamError`.

        Cancelling closes the connection at once. `fresh`: not on a connection used before.
        """
        connection = None if fresh else self._take(request.destination)
        if connection is None:
            timeout = request.connect_timeout or self._connect_timeout
            connection = await self._connect(request.destination, timeout)
        return await connection.ask(request)

    def close(self) -> None:
        """Close every connection, in use or not."""
        for connection in list(self._open):
            connection.close()
        self._idle.clear()

    def keep(self, connection: Connection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        idle = self._idle.setdefault(connection.destination, [])
        while idle and idle[0].idle_since < connection.idle_since - _IDLE_SECONDS:
            idle.pop(0).close()  # the newest is taken first, so after a rush the oldest stay unused
        idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.destination)
        if idle and connection in idle:
            idle.remove(connection)

    def _take(self, destination: Destination) -> Connection | None:
        idle = self._idle.get(destination, [])
        now = asyncio.get_running_loop().time()
        for index in range(len(idle) - 1, -1, -1):  # the one used last has rested least
            connection = idle[index]
            if connection.idle_since > now - self._rest_seconds:
                continue
            del idle[index]
            if connection.closed:
                continue
            if connection.idle_since >= now - _IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()
        return None

    async def _connect(self, destination: Destination, timeout: float) -> Connection:
        try:
            async with asyncio.timeout(timeout):
                addresses = await _allowed_addresses(destination)
                return await self._first_that_connects(destination, addresses, timeout)
        except TimeoutError:
            message = f"no connection to {destination.host} within {timeout:g} s"
            raise ConnectFailed(message) from None
        except ssl.SSLError as error:
            raise ConnectFailed(f"TLS with {destination.host} failed: {error.reason}") from None
        except OSError as error:
            raise ConnectFailed(f"cannot connect to {destination.host}: {error.strerror or error}") from None
        except UnicodeError:  # a label of the name is empty or too long
            raise ConnectFailed(f"{destination.host} is not a host name") from None

    async def _first_that_connects(
        self, destination: Destination, addresses: list[str], timeout: float
    ) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._tls if destination.scheme == "https" else None
        failure: OSError | None = None
        for index, address in enumerate(addresses):
            # a dead first address must not use up the time of those behind it
            share = timeout / (len(addresses) - index + (index < len(addresses) - 1))
            try:
                async with asyncio.timeout(share):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self, destination),
                        address,
                        destination.port,
                        ssl=tls,
                        server_hostname=destination.host if tls else None,
                    )
            except OSError as error:  # TimeoutError is one
                failure = error
            else:
                self._open.add(connection)
                return connection
        assert failure is not None, "an answer of the resolver has at least one address"
        raise failure


async def _allowed_addresses(destination: Destination) -> list[str]:
    """The addresses of a host that the policy allows; these very addresses are connected to."""
    allowed, refusal = [], None
    for address in await _addresses(destination):
        try:
            check_address(destination.host, address, destination.port, destination.confirmed)
        except Refused as error:
            refusal = error
        else:
            allowed.append(address)
    if not allowed:
        raise DestinationRefused(str(refusal))
    return allowed


async def _addresses(destination: Destination) -> list[str]:
    try:
        return [str(ipaddress.ip_address(destination.host))]
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
