"""Import by reference: fetching what a check is to look at. The process that opens it has no network."""
