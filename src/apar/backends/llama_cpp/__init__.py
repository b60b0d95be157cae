"""GGUF models on an unmodified llama.cpp: the threads of all answers are sequences of one KV cache."""
