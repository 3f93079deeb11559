"""The exception whose text is shown to the user."""


class UserError(Exception):
    """An error that the user can correct. The text says what went wrong and what to do about it."""


class RankLost(Exception):
    """Another process of a training on several devices ended, so that this one cannot go on."""


class CheckpointError(UserError):
    """The checkpoint of a run cannot be read, or is not one of this run."""
