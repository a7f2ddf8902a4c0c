"""Networks by name: libraries and classics, built fresh, never downloaded."""
