"""Whether the kernel has lately killed something for want of memory."""

from pathlib import Path


def kills() -> int:
    """Processes that the kernel has ended for want of memory since the machine started; 0 if it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
