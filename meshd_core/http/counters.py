"""What the HTTP layer counts, for metrics."""


class HttpCounters:
    """Since the server's start."""

    def __init__(self) -> None:
        self.requests = 0
        self.failed = 0
        """Answered with a status of 500 and above."""
        self.auth_failures = 0
        """Wrong credentials; an absent one does not count."""
