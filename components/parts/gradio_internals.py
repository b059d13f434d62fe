"""Changes to gradio for which it has no setting. Any version may drop what they change, so each is looked for
first: a page that silently lost one would be less safe, or keep what visitors wrote."""

from types import ModuleType

import gradio as gr

from adaedl.errors import UserError

TESTED = "6.31.0"  # the version of gradio that requirements.txt asks for, up to its last number


def replace(owner: object, **values: object) -> None:
    """Assign to attributes of a module, a class or an object of gradio.

    Raises:
        UserError: it has no such attribute.
    """
    require(owner, *values)
    for name, value in values.items():
        setattr(owner, name, value)


def require(owner: object, *names: str) -> None:
    """Check that a module, a class or an object of gradio has these attributes.

    Raises:
        UserError: it does not.
    """
    for name in names:
        if not hasattr(owner, name):
            raise UserError(
                "gradio {} has no {}.{}, which this page changes; install the version it was tested with: "
                "pip install 'gradio~={}'",
                gr.__version__,
                _name_of(owner),
                name,
                TESTED,
            )


def _name_of(owner: object) -> str:
    if isinstance(owner, ModuleType):
        return owner.__name__.removeprefix("gradio.")
    return (owner if isinstance(owner, type) else type(owner)).__name__
