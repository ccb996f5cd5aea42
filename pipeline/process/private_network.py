"""A network of its own for a process and its children: no other host, and no other process of this one, reaches it."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from pipeline.process.exits import end_child

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
_REASONS = {
    errno.EPERM: "this user may not make one",
    errno.EACCES: "this user may not make one",
    errno.ENOSPC: "the limit of namespaces is reached",
    errno.EINVAL: "the kernel has none",
}
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> str:
    """Moves this process into a network that has the loopback alone; '' if it did.

    Else the reason why it may not, and the process is as it was. It must have one thread. The network ends with the
    last process in it. Files keep their owners and their permissions.
    """
    if number := _error_of_a_trial():
        return _REASONS.get(number, os.strerror(number).lower())
    _enter()
    return ""


def _error_of_a_trial() -> int:
    """The error number with which a child fails to enter such a network, from which no way leads back; 0 if it does."""
    child = os.fork()
    if not child:
        try:
            _enter()
        except OSError as error:
            end_child(error.errno or 1)
        end_child(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _enter() -> None:
    """Moves this process. Raises OSError, perhaps half way."""
    try:
        _unshare(_CLONE_NEWNET)
    except PermissionError:  # a user may make one inside of a user namespace, in which he stays who he is
        user, group = os.geteuid(), os.getegid()
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _bring_loopback_up()


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
