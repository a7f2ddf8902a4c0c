"""The routes: each parses, makes one call into the store, and returns a class of the contract."""
