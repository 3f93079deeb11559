"""The exception whose text is shown to the user."""


class UserError(Exception):
    """An error that the user can correct. The text says what went wrong and what to do about it."""
