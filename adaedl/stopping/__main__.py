"""`python -m adaedl.stopping` prints docs/stoppers.md."""

from adaedl.stopping.describe import stoppers_page

if __name__ == "__main__":
    print(stoppers_page(), end="")
