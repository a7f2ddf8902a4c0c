"""The seccomp filter: system calls that a compression job never needs, answered with EPERM. A deny-list, because torch,
CUDA and the C library use too many others to list; Landlock and the namespaces stand behind it."""

import ctypes
import errno
import struct
from collections.abc import Iterator

from worker import kernel
from worker.kernel import Machine

_AUDIT_ARCH: dict[Machine, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

# name: (x86_64, aarch64); None where the machine has no such call.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # another program, another process
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # namespaces and the file system
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "fanotify_init": (300, 262),
    "inotify_add_watch": (254, 27),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # wide doors into the kernel
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
}
# Answered as if done: Landlock does not cover them, so a job could lock the service out of its own files, and copying
# a file the ordinary way needs them.
PRETENDED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
_CLONE3 = 435
_CLONE: dict[Machine, int] = {"x86_64": 56, "aarch64": 220}
_PRCTL: dict[Machine, int] = {"x86_64": 157, "aarch64": 167}
_PRLIMIT: dict[Machine, int] = {"x86_64": 302, "aarch64": 261}
_IOCTL: dict[Machine, int] = {"x86_64": 16, "aarch64": 29}
_SOCKET: dict[Machine, int] = {"x86_64": 41, "aarch64": 198}
_AF_INET, _AF_NETLINK = 2, 16
_NEW_NAMESPACES = 0x7E020000
_TIOCSTI = 0x5412

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_2 = 0, 4, 16, 24, 32
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(loopback: bool = False) -> None:
    """Filter the calling thread and all that it starts. Needs ``no_new_privs``; raises OSError where it cannot be.

    ``loopback`` lets it have sockets of IPv4, for a network namespace that has nothing but its loopback interface.
    """
    here = kernel.machine()
    if here is None:
        raise OSError(errno.ENOSYS, "no system call numbers for this machine")
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program(here, loopback))
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(code) // 8, code)))


def program(here: Machine, loopback: bool = False) -> list[Instruction]:
    """The filter as BPF instructions. A foreign architecture's calls (32-bit, x32) kill the process."""
    # Neither the network nor sockets by path.
    sockets = _of_the_loopback() if loopback else [(_RETURN, 0, 0, _EPERM)]
    no_new_namespaces = _unless(_ARGUMENT_0, (_ANY_BIT, 0, 1, _NEW_NAMESPACES))
    keep_parent_death_signal = _unless(_ARGUMENT_0, (_EQUAL, 0, 1, kernel.PR_SET_PDEATHSIG))
    own_limits_only = _unless(_ARGUMENT_0, (_EQUAL, 1, 0, 0))
    no_typing_for_others = _unless(_ARGUMENT_1, (_EQUAL, 0, 1, _TIOCSTI))
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT_ARCH[here]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *([(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)] if here == "x86_64" else []),
        *_all(DENIED, here, _EPERM),
        *_all(PRETENDED, here, _ERRNO),
        # clone3 hides its flags from a filter; without it the C library falls back to clone.
        *_when(_CLONE3, [(_RETURN, 0, 0, _ENOSYS)]),
        *_when(_SOCKET[here], sockets),
        *_when(_CLONE[here], no_new_namespaces),
        *_when(_PRCTL[here], keep_parent_death_signal),
        *_when(_PRLIMIT[here], own_limits_only),
        *_when(_IOCTL[here], no_typing_for_others),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _all(calls: dict[str, tuple[int | None, int | None]], here: Machine, answer: int) -> Iterator[Instruction]:
    for intel, arm in calls.values():
        number = intel if here == "x86_64" else arm
        if number is not None:
            yield from _when(number, [(_RETURN, 0, 0, answer)])


def _of_the_loopback() -> list[Instruction]:
    """EPERM for a socket that is neither of IPv4 nor one that asks for the names of interfaces, as getifaddrs does."""
    return [
        (_LOAD, 0, 0, _ARGUMENT_0),
        (_EQUAL, 4, 0, _AF_INET),
        (_EQUAL, 0, 2, _AF_NETLINK),
        (_LOAD, 0, 0, _ARGUMENT_2),
        (_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _unless(argument: int, test: Instruction) -> list[Instruction]:
    """EPERM when the test of the argument's low half falls to its next instruction."""
    return [(_LOAD, 0, 0, argument), test, (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """``body``, which must end by a return, for that system call alone."""
    return [(_EQUAL, 0, len(body), number), *body]
