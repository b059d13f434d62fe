"""The one exception that a visitor or a shell user is meant to read."""


class UserError(ValueError):
    """Bad input, or a condition the user can mend: the message is one clear sentence
    that names the value and what would do. The page shows it, the command line prints
    it and exits with status 2."""
