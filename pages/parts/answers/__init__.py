"""Parts of the Answers page."""
