"""The one exception whose text is meant for the person in front of the screen."""


class UserError(Exception):
    """What went wrong and what to do about it, in one sentence that is shown as it is."""
