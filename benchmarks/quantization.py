"""What quantizing costs and saves: accuracy on the full test set and bytes on disk, each row by its own command.

    python -m benchmarks.quantization ResNet20=resnet20.th ResNet56=resnet56.th     # trained elsewhere; an hour or two
    python -m benchmarks.quantization ResNet20=resnet20.th --rows float "5 clusters"

Runs the command lines that a person would type, in processes of their own, one after the other.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from core.config import runs_root

ROWS = {  # what is done to the imported network, by the flags of `python -m core.quantize`
    "32 clusters": "--clusters 32 --no-recalibrate",
    "32 clusters, tuned": "--clusters 32 --epochs 1 --trainimages 12800",
    "5 clusters": "--clusters 5 --no-recalibrate",
    "5 clusters, BatchNorm re-estimated": "--clusters 5",
    "5 clusters, tuned": "--clusters 5 --epochs 1",
    "8 bits": "--bits 8",
    "4 bits": "--bits 4",
    "4 bits, BatchNorm re-estimated": "--bits 4 --recalibrate",
}


def result(module: str, arguments: list[str], folders: list[str]) -> dict:
    """The object that `python -m MODULE ARGUMENTS --json` ends with."""
    words = [sys.executable, "-m", module, *arguments, "--json", *folders]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


NORMALISATION = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"  # what these checkpoints were trained with


def rows(network: str, path: Path, wanted: set[str], folders: list[str]):
    """The rows of one network: the float one first, then what is derived from it."""
    importing = f"--model {network} --dataset CIFAR10 {NORMALISATION}"
    float_one = result("core.checkpoint", [str(path), *shlex.split(importing)], folders)
    parent = float_one["run_id"]
    size = (runs_root(folders[1]) / parent / "model.safetensors").stat().st_size
    if "float" in wanted:
        yield {"network": network, "quantized": "float", "test accuracy %": round(100 * float_one["test_accuracy"], 2),
               "points lost": 0.0, "bytes": size, "times smaller": 1.0, "tuning s": 0,
               "command": f"python -m core.checkpoint {path.name} {importing}"}
    for title, flags in ROWS.items():
        if title in wanted:
            found = result("core.quantize", [parent, *shlex.split(flags)], folders)
            yield {"network": network, "quantized": title, "test accuracy %": round(100 * found["test_accuracy"], 2),
                   "points lost": round(100 * (float_one["test_accuracy"] - found["test_accuracy"]), 2),
                   "bytes": found["packed_bytes"], "times smaller": round(size / found["packed_bytes"], 1),
                   "tuning s": round(found["train_seconds"] or 0), "command": f"python -m core.quantize RUN {flags}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="NETWORK=FILE")
    parser.add_argument("--rows", nargs="+", default=["float", *ROWS], metavar="ROW", choices=["float", *ROWS])
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as runs:
        folders = ["--runs-dir", runs, *(["--data-dir", options.data_dir] if options.data_dir else [])]
        for checkpoint in options.checkpoints:
            network, _, path = checkpoint.partition("=")
            for row in rows(network, Path(path), set(options.rows), folders):
                print(json.dumps(row), file=sys.stderr, flush=True)
                found.append(row)
    report.write("quantization", found, [
        "RUN is the id that the first command of the network prints. Weights are quantized on disk and computed with "
        "in float; bytes are those of the packed file."])


if __name__ == "__main__":
    main()
