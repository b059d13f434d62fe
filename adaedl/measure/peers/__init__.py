"""Other engines on the same weights: transformers and llama.cpp."""
