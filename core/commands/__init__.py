"""The command lines. `python -m core` lists them and runs them."""
