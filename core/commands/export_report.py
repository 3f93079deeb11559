"""Writes a report of several runs for the export command."""

import argparse
import json

from core import data
from core.commands.command_of import command_of
from core.commands.terminal import text_stream
from core.config import data_root
from core.errors import UserError
from core.files import write_atomically
from core.runs.store import RunStore

REPORT = "report"
"""The name of the format."""

REPORT_DESCRIPTION = "One or several runs as a page of HTML, to read offline and to print."


def export_report(store: RunStore, options: argparse.Namespace) -> None:
    """Write the report of the runs in `options.runs` to `options.out`, and say so.

    Raises UserError for runs that cannot be reported, and for a file that cannot be written.
    """
    from core.report.report import write_report  # imports altair

    infos = {choice.name: choice.info for choice in data.available(data_root(options.data_dir))}
    content = write_report(store, options.runs, command_of, infos).encode()
    try:
        write_atomically(options.out, content)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written: {error.strerror or error}.") from error
    sentence = f"Wrote {options.out}: {len(content):,} bytes."
    print(sentence, file=text_stream(options), flush=True)
    if options.json:
        figures = {"runs": options.runs, "to": REPORT, "file": str(options.out)}
        print(json.dumps(figures | {"bytes": len(content)}))
