"""Compression as a pure library: files in, files out. No database, no Celery, no HTTP."""
