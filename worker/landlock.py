"""Landlock: which files this process may reach from now on, and that it may use no TCP port, signal no process outside
and join no abstract socket outside. Sockets by path are not covered; the seccomp filter refuses sockets of any kind."""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from worker import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_ABI_QUERY = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV

# The rights that each ABI added, all of them handled: what is not granted below is refused.
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_TCP = 0b11
_SCOPE_SOCKETS_AND_SIGNALS = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock ABI. Raises OSError where there is none."""
    return kernel.syscall("landlock_create_ruleset", _CREATE_RULESET, None, 0, _ABI_QUERY)


def restrict(
    readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path], loopback: bool = False
) -> int:
    """Confine the calling thread and all that it starts; paths that do not exist are passed over.

    ``loopback`` leaves TCP alone, where a network namespace confines it. Needs ``no_new_privs``. Returns the ABI: 4
    brought the ban on TCP, 6 the one on signals.
    """
    abi = version()
    handled = _HANDLED[max(known for known in _HANDLED if known <= abi)]
    ruleset = _create(abi, handled, 0 if loopback else _NET_TCP)
    try:
        for paths, access in ((readable, _READ), (writable, _WRITE), (devices, _DEVICE)):
            for path in paths:
                _allow(ruleset, path, access & handled)
        kernel.syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _create(abi: int, handled: int, net: int) -> int:
    attributes = _Ruleset(handled, net, _SCOPE_SOCKETS_AND_SIGNALS)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return kernel.syscall("landlock_create_ruleset", _CREATE_RULESET, ctypes.byref(attributes), size, 0)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            access &= _FILE_RIGHTS
        rule = _PathBeneath(access, opened)
        kernel.syscall("landlock_add_rule", _ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
