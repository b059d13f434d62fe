"""The packages that pip installs. The page becomes part of the engine's package: the folder adaedl/page holds
app.py, components/ and assets/ laid out as in a checkout, so that the page needs no other top-level names.
"""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PAGE = "adaedl.page"


class BuildModules(build_py):
    def find_package_modules(self, package, package_dir):
        """Return a package's modules; of those beside app.py, such as this one, return only app.py."""
        modules = super().find_package_modules(package, package_dir)
        return [module for module in modules if package != PAGE or module[1] == "app"]


setup(
    packages=[
        *find_packages(include=["adaedl", "adaedl.*"]),
        PAGE,
        f"{PAGE}.assets",
        *(f"{PAGE}.{name}" for name in find_packages(include=["components", "components.*"])),
    ],
    package_dir={PAGE: "."},
    cmdclass={"build_py": BuildModules},
)
