"""Run a command in the test's process and get its exit code."""

from collections.abc import Callable


def exit_code(main: Callable[[list[str]], int], words: list[str]) -> int:
    """Run the `main` of a command. A command may return its exit code or raise SystemExit."""
    try:
        return main(words)
    except SystemExit as end:
        code = end.code
    assert isinstance(code, int)
    return code
