"""The REST service. Never imports torch or the engine."""
