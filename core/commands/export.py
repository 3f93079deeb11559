"""Export the network of a finished run as a file, and check the file in a fresh process.

python -m core export RUN --to onnx --out network.onnx
python -m core export RUN --to onnx-int8 --out network-int8.onnx
python -m core export RUN --to onnx --out network.onnx --with-normalisation
python -m core export RUN --to openvino --out network.zip
python -m core export RUN --to packed --out network.secateur
python -m core export RUN RUN --to report --out report.html
"""

import argparse
import json
import sys
from pathlib import Path

from core.commands.export_report import REPORT, REPORT_DESCRIPTION, export_report
from core.commands.flags import add_field_flag, typed_values
from core.commands.int8_flags import INT8_FLAGS
from core.commands.run_files import ExportedFile, check_export, exported_file
from core.commands.terminal import DATA_DIR, Parser, text_stream, work_to_end
from core.config import Int8Recipe, data_root, runs_root, validate_recipe
from core.deploy.files.formats import EXPORT_FORMATS
from core.deploy.files.verification import Verification
from core.errors import UserError
from core.files import write_atomically
from core.jobs.check import check_recipe
from core.runs import launch
from core.runs.int8 import request_int8
from core.runs.run import Run
from core.runs.store import RunStore

PROGRAM = "python -m core export"
NORMALISATION_FLAG = "--with-normalisation"
NORMALISATION_HELP = (
    "the file takes pixels (uint8, N x 3 x side x side) and gives probabilities: the normalisation"
    " and the softmax are in it"
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 1 if the file cannot be made or is wrong, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    store = RunStore(runs_root(options.runs_dir))
    try:
        _check_flags(options)
        if options.to == REPORT:
            export_report(store, options)
            return 0
        run = _run_to_export(store, options)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    try:
        _export(store, run, options)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


def _export(store: RunStore, run: Run, options: argparse.Namespace) -> None:
    """Write the file and verify it. Raises UserError if it cannot be made, or is wrong."""
    out = text_stream(options)
    run = _finished(run, options)
    exported = exported_file(store, run, options.to, options.with_normalisation)
    _write(exported, options)
    print(f"Wrote {options.out}: {len(exported.content):,} bytes.", file=out, flush=True)
    if exported.note:
        print(exported.note, file=out, flush=True)
    verification = _verify(exported, options)
    print(verification, file=out)
    if options.json:
        print(json.dumps(_as_json(run, exported, verification, options)))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Export the network of a finished run as a file. A fresh process then loads the file"
            " again, measures its accuracy on test images, and checks that pruned weights are zero."
            " Exits with 1 if that fails."
        ),
        epilog=_formats_text(),
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="the id of the run; a report takes several"
    )
    parser.add_argument(
        "--to", required=True, choices=[*EXPORT_FORMATS, REPORT], help="the format of the file"
    )
    parser.add_argument("--out", required=True, metavar="FILE", type=Path, help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--verifyimages", metavar="N", type=int, help="test images for the check [all]"
    )
    parser.add_argument(NORMALISATION_FLAG, action="store_true", help=NORMALISATION_HELP)
    for name, flag in INT8_FLAGS.items():
        add_field_flag(parser, Int8Recipe, name, flag)
    parser.add_data_dir()
    parser.add_runs_dir()
    parser.add_json()
    return parser


def _formats_text() -> str:
    texts = [f"{name}: {facts.description}" for name, facts in EXPORT_FORMATS.items()]
    return " ".join(["formats:", *texts, f"{REPORT}: {REPORT_DESCRIPTION}"])


def _check_flags(options: argparse.Namespace) -> None:
    """Raise UserError, naming the flag, for what cannot work."""
    if options.verifyimages is not None and options.verifyimages < 1:
        raise UserError(f"--verifyimages must be at least 1, got {options.verifyimages}")
    if options.to != REPORT and len(options.runs) > 1:
        raise UserError(f"RUN: only --to {REPORT} takes several runs, got {len(options.runs)}")
    if options.to == REPORT and options.verifyimages is not None:
        raise UserError(f"--verifyimages does not go with --to {REPORT}, which tests nothing")
    if not _is_in_integers(options) and typed_values(options, INT8_FLAGS):
        name = next(iter(typed_values(options, INT8_FLAGS)))
        raise UserError(f"{INT8_FLAGS[name]} goes with --to onnx-int8 and openvino-int8 only")
    if options.with_normalisation and (
        options.to == REPORT or not EXPORT_FORMATS[options.to].is_graph
    ):
        graphs = ", ".join(name for name, facts in EXPORT_FORMATS.items() if facts.is_graph)
        raise UserError(f"{NORMALISATION_FLAG} goes with --to {graphs} only")
    if options.to != REPORT:
        check_export(options.to, options.with_normalisation)
    if not options.out.absolute().parent.is_dir():
        raise UserError(f"--out must be in a folder that exists, got {options.out}")
    if options.out.is_dir():
        raise UserError(f"--out must be a file, and {options.out} is a folder")
    if options.out.exists() and not options.force:
        raise UserError(f"--out: {options.out} is there already; --force replaces it")


def _is_in_integers(options: argparse.Namespace) -> bool:
    return options.to != REPORT and EXPORT_FORMATS[options.to].in_integers


def _run_to_export(store: RunStore, options: argparse.Namespace) -> Run:
    """Return the run itself, or the one that makes its file in integers."""
    try:
        run = store.get(options.runs[0])
    except UserError as error:
        raise UserError(f"RUN: {error}") from None
    is_int8 = isinstance(run.recipe, Int8Recipe)
    values = typed_values(options, INT8_FLAGS)
    if not _is_in_integers(options):
        return run
    if is_int8 and values:
        name = next(iter(values))
        raise UserError(f"{INT8_FLAGS[name]}: {run.id} is a file in integers with its own settings")
    if is_int8:
        return run
    recipe = validate_recipe(Int8Recipe, values, INT8_FLAGS)
    names = INT8_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, run.dataset)
    return request_int8(store, run, recipe)


def _finished(run: Run, options: argparse.Namespace) -> Run:
    """Work on a run in integers that is not finished yet. Raises UserError if it does not finish.

    Other runs are left as they are.
    """
    if run.state == "finished" or not isinstance(run.recipe, Int8Recipe):
        return run
    if not launch.reopen(run):
        raise UserError(
            f"The run {run.id}, which makes this file, is {run.state}: try again later."
        )
    run = work_to_end(run, options)
    if run.state != "finished":
        raise UserError(
            f"The run {run.id}, which makes this file, is {run.state}. {run.status.message}"
        )
    return run


def _write(exported: ExportedFile, options: argparse.Namespace) -> None:
    try:
        write_atomically(options.out, exported.content)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written: {error.strerror or error}.") from error


def _verify(exported: ExportedFile, options: argparse.Namespace) -> Verification:
    """Check the file in a fresh process. It stays if that fails, for a look."""
    try:
        folder = data_root(options.data_dir)
        return exported.verify(options.out.absolute(), folder, options.verifyimages)
    except UserError as error:
        raise UserError(f"Do not use {options.out}: {error}") from None


def _as_json(
    run: Run, exported: ExportedFile, verification: Verification, options: argparse.Namespace
) -> dict[str, str | int | float | None]:
    return {
        "run_id": run.id,
        "to": options.to,
        "file": str(options.out),
        "bytes": len(exported.content),
        "with_normalisation": exported.with_normalisation,
        "recorded_accuracy": exported.recorded,
        "verified_accuracy": verification.accuracy,
        "verified_images": verification.images,
        "zeros": verification.zeros,
        "removed": verification.removed,
    }
