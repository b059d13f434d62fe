"""`python -m adaedl.stopping` prints docs/stoppers.md."""

from adaedl.stopping.describe import stoppers_page

print(stoppers_page(), end="")
