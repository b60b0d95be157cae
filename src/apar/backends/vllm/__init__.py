"""vLLM, unmodified, as the engine: every thread of an answer is an ordinary request of its own."""
