"""Secateur's engine: all that the pages and the commands do, without Streamlit."""

__version__ = "0.1.0"
