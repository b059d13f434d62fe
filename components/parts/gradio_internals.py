"""Change parts of gradio that have no setting. Any version of gradio may drop such a part, so each change
first checks for it: a page that silently lost one would be less safe, or keep visitors' texts."""

from types import ModuleType

import gradio as gr

from adaedl.errors import UserError

TESTED = "6.31.0"  # requirements.txt allows this version of gradio and later patch releases


def replace(owner: object, **values: object) -> None:
    """Assign to attributes of a module, a class or an object of gradio.

    Raises:
        UserError: the owner has no such attribute.
    """
    require(owner, *values)
    for name, value in values.items():
        setattr(owner, name, value)


def require(owner: object, *names: str) -> None:
    """Check that a module, a class or an object of gradio has these attributes.

    Raises:
        UserError: an attribute is missing.
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
