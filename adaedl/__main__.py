import sys

from adaedl.cli.main import start

if __name__ == "__main__":
    sys.exit(start())
