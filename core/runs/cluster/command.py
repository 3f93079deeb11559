"""The job of a run: its shell command, what it needs of a node, and what its exit codes mean.

All nodes see three folders under the same names as this machine: the runs, the data sets, and the
code. The runs are shared in any case, so the code is not packed and sent along: a run that is
resumed continues with the code that it began with.
"""

import os
import shlex
import sys
from pathlib import Path

from core.config import TrainRecipe
from core.runs.run import RayJob, Run

PYTHON = "SECATEUR_CLUSTER_PYTHON"
"""The variable that names the Python of the nodes, if it is not where this machine has it."""

_CODE = Path(__file__).resolve().parents[3]
"""The folder that contains the package `core`."""

_NO_RUNS = 71
_NO_CODE = 72
_NO_PYTHON = 73
_OTHER_PYTHON = 74

_PASSED_ON = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "SECATEUR_MODELS")


def python() -> str:
    """Return the path of Python on the nodes."""
    return os.environ.get(PYTHON) or sys.executable


def command(run: Run, job: RayJob) -> str:
    """Return the shell command that works on the run on a node.

    It prints to the log of the run, as a local worker does.
    """
    words = ["-m", "core.runs.worker", str(run.path), "--data-dir", job.data, "--job", job.id]
    version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]} and 9)"
    executable = shlex.quote(python())
    log = shlex.quote(str(run.path / "log.txt"))
    return "\n".join(
        [
            f"test -d {shlex.quote(str(run.path))} || exit {_NO_RUNS}",
            f"test -d {shlex.quote(str(_CODE / 'core'))} || exit {_NO_CODE}",
            f"{executable} -c {shlex.quote(version)}",
            f'case "$?" in 0) ;; 9) exit {_OTHER_PYTHON} ;; *) exit {_NO_PYTHON} ;; esac',
            f"exec {executable} {shlex.join(words)} >> {log} 2>&1",
        ]
    )


def variables() -> dict[str, str]:
    """Return the variables that the command needs, and those of this machine that change a run."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PYTHONPATH": str(_CODE)} | passed_on


def resources(run: Run, gpus_of_cluster: int) -> tuple[int, int]:
    """Return how many GPUs and CPUs the run needs.

    A run on GPUs gets one CPU for each, to load images. auto: GPUs if the cluster has any.
    """
    count = run.recipe.devices if isinstance(run.recipe, TrainRecipe) else 1
    device = run.recipe.device
    is_on_gpu = device.startswith("cuda") or (device == "auto" and gpus_of_cluster > 0)
    return (count if is_on_gpu else 0), count


def explain_exit(code: int, run: Run) -> str | None:
    """Say why a node could not begin the run, None for an exit code of the run's own process."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sentences = {
        _NO_RUNS: f"The node does not see {run.path}: share the folder for runs among all nodes.",
        _NO_CODE: f"The node does not see {_CODE}: share the folder of the code among all nodes.",
        _NO_PYTHON: f"The node has no Python at {python()}: name the nodes' own with {PYTHON}.",
        _OTHER_PYTHON: (
            f"The node's Python, {python()}, is not version {version} as on this machine: name"
            f" one that is with {PYTHON}."
        ),
    }
    return sentences.get(code)
