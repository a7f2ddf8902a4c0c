"""How `pith` exits. 0: done, and all that was required is met."""

REFUSED = 1
"""A file that cannot be used, a request or an upload that the service refuses."""
USAGE = 2
NOT_MET = 3
"""The job has succeeded, and a constraint or a requirement is not met."""
JOB_FAILED = 4
"""The job has failed, or was cancelled."""
UNREACHABLE = 5
"""The service gives no answer, or what answers is not Pith."""
INTERRUPTED = 130
