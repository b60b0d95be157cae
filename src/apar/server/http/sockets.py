"""The sockets that a server listens at."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys

from apar.errors import UserError

_BACKLOG = 2048
# Of a peer that has vanished without a word: it is asked after a minute of silence, and given up after another.
_SILENT_SECONDS = 60


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen at all addresses of a host, at the same port; port 0 is any that is free.

    Raises UserError where that is not possible.
    """
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in _addresses(host, port):
        port_here = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bind(family, (address[0], port_here, *address[2:])))
        except OSError as error:
            if sockets and error.errno == errno.EADDRNOTAVAIL:  # the host's other address, as IPv6 where there is none
                continue
            failure = error
            break
    if failure is None:
        return sockets
    for listener in sockets:
        listener.close()
    raise UserError(_explain(failure, host, port)) from failure


def url(sockets: list[socket.socket], host: str) -> str:
    """Where clients find a server that listens at a host."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{sockets[0].getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at a host; raises UserError for one that is not known."""
    addresses = [address[0] for _, address in _addresses(host, 0)]
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def raise_file_limit(wanted: int) -> int:
    """Let this process have so many files open, as far as it may; returns how many it may have."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
            soft = new
    return wanted if soft == resource.RLIM_INFINITY else soft


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int, *tuple[int, ...]]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(
            f"there is no host {host!r} that is known here; use 127.0.0.1 for this machine alone, 0.0.0.0 for all"
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _bind(family: int, address: tuple[str | int, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have listener port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _watch_peers(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _watch_peers(listener: socket.socket) -> None:
    """Have the system end connections whose peer has vanished. What is set here holds for all connections."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = {"TCP_KEEPIDLE": _SILENT_SECONDS, "TCP_KEEPINTVL": _SILENT_SECONDS // 4, "TCP_KEEPCNT": 4}
    for name, value in seconds.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use already; choose another with --port, or 0 for any that is free"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not listen at port {port}; choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; use 127.0.0.1 for it alone, 0.0.0.0 for all its addresses"
    return f"cannot listen at port {port} of {host}: {error.strerror or error}"
