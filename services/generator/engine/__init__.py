"""vLLM in this process: how it is started, asked, and given new weights."""
