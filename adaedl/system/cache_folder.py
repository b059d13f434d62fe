"""The folder where this program keeps converted and quantised weights of models."""

import os
from pathlib import Path

from adaedl.errors import UserError


def cache_dir() -> Path:
    """Return ADAEDL_CACHE if that is set, otherwise the program's folder in the user's cache folder.

    Raises:
        UserError: ADAEDL_CACHE is not a valid path, or there is no home folder.
    """
    override = os.environ.get("ADAEDL_CACHE", "").strip()
    try:
        if override:
            return Path(override).expanduser().absolute()
        import platformdirs

        return Path(platformdirs.user_cache_dir("adaedl", appauthor=False)).expanduser()
    except (RuntimeError, ValueError) as error:
        if override:
            raise UserError(
                "ADAEDL_CACHE is {!r}, which is not a valid path ({}); set it to a folder.", override, error
            ) from error
        raise UserError(
            "There is no home folder to store models in; set ADAEDL_CACHE and HF_HOME to folders."
        ) from error
