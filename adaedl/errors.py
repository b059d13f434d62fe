"""The sentences that a visitor or a shell user is meant to read, and the one exception that carries one."""


class Sentence(str):
    """An English sentence that remembers what it was made of, so that a page can say it in another language:
    `template` with its {} placeholders as for str.format, and the `values` that fill them.

    A template without values is taken as it stands.
    """

    template: str
    values: tuple

    def __new__(cls, template: str, *values):
        made = super().__new__(cls, template.format(*values) if values else template)
        made.template, made.values = template, values
        return made


class UserError(ValueError):
    """Bad input, or a condition the user can mend: the message is one clear sentence
    that names the value and what would do. The page shows it, the command line prints
    it and exits with status 2.

    Args:
        template, values: as in `Sentence`.
    """

    def __init__(self, template: str, *values):
        self.sentence = Sentence(template, *values)
        super().__init__(str(self.sentence))
