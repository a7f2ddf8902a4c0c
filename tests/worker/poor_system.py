"""Make this process's system poorer: a seccomp filter of one's own refuses calls, as containers do."""

from worker import kernel, seccomp


def refuse(**calls: tuple[int, int]) -> None:
    """``name=(number on x86-64, number on aarch64)``, for this process and all that it starts."""
    seccomp.DENIED, denied = dict(calls), seccomp.DENIED
    seccomp.PRETENDED, pretended = {}, seccomp.PRETENDED
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install()
    seccomp.DENIED, seccomp.PRETENDED = denied, pretended


UNSHARE = (272, 97)
LANDLOCK = (444, 444)
