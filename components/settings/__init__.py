"""What whoever hosts the page decides. Everything else of the page may ask for it."""
