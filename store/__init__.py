"""What the API and the workers both touch: database, blobs, queue. No torch, no HTTP."""
