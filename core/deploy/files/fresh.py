"""The fresh process of a verification: `python -m core.deploy.files.fresh`.

It reads the arguments of `core.deploy.files.checks.check_file` as one JSON object from standard
input, and prints the verification, or the error, as one.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import UserError


def main() -> int:
    """Check the file. Return 0 if it is what was exported, and 1 otherwise."""
    request = json.load(sys.stdin)
    try:
        answer = _check(**request)
    except UserError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    print(json.dumps(answer))
    return 0


def _check(file: str, model: str | None, data_root: str, **options: Any) -> dict[str, Any]:
    from core.deploy.files.checks import check_file  # imports torch

    source = None if model is None else Path(model)
    verification = check_file(Path(file), model=source, data_root=Path(data_root), **options)
    return asdict(verification)


if __name__ == "__main__":
    sys.exit(main())
