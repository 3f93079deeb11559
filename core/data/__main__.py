"""`python -m core.data ...` runs `python -m core data ...`."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv[1:1] = ["data"]
    runpy.run_module("core", run_name="__main__", alter_sys=True)
