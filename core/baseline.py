"""Run the command line of the original scripts, with the flags of `python -m core train`.

python -m core.baseline --model VGG16 --dataset CIFAR10 --prunetype False --lr 0.1 --epochs 70
                        --weightdecay 0.0005 --step 20 --batchsize 128 --retrain 0.05
"""

import sys

from core.commands import train

PROGRAM = "python -m core.baseline"
_LENIENT = ("--step",)
"""The original's flags that other flags may make idle: a script that adds --schedule still runs."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 for a failed run, 2 for wrong arguments."""
    return train.main(arguments, PROGRAM, _LENIENT)


if __name__ == "__main__":
    sys.exit(main())
