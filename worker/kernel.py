"""The few system calls that Python has no function for, by ctypes. Every one raises OSError when the kernel refuses,
and OSError(ENOSYS) where there is no such call, so that a caller can go on without it."""

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable
from typing import Literal

Machine = Literal["x86_64", "aarch64"]

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def machine() -> Machine | None:
    """The instruction set of this 64-bit Linux process; None where the sandbox knows no system call numbers."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    return {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine())  # type: ignore[return-value]


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _function(name: str) -> Callable[..., int]:
    function: Callable[..., int] | None = getattr(_libc, name, None)
    if sys.platform != "linux" or function is None:
        raise OSError(errno.ENOSYS, f"{name}: {os.strerror(errno.ENOSYS)}")
    return function


def syscall(name: str, number: int, *arguments: object) -> int:
    """One system call by number; integers are passed as C longs."""
    longs = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_function("syscall")(ctypes.c_long(number), *longs), name)


def prctl(option: int, value: object = 0, address: object = 0) -> int:
    given = [ctypes.c_ulong(part) if isinstance(part, int) else part for part in (value, address, 0, 0)]
    return _checked(_function("prctl")(option, *given), f"prctl({option})")


def unshare(flags: int) -> None:
    _checked(_function("unshare")(flags), f"unshare({flags:#x})")


def drop_capabilities() -> None:
    """Give up every capability, also those of a namespace of one's own and those of root."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(_function("capset")(header, none), "capset")
