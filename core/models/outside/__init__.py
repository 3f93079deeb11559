"""Networks from outside this program: timm's, and those of the person who runs the app.

An own network is a Python file in the folder SECATEUR_MODELS. It is run in the server and in the
workers as it is, so it must come from the person who runs them. No page takes such a file.
"""
