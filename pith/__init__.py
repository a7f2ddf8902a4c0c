"""What a caller installs: the contract, the client and the command line. No torch, no server."""

__version__ = "0.1.0"
