"""Takes a job id, stages its files, runs the engine in a sandboxed child, stores the results."""
