"""Secateur's engine: everything that a page shows or a command does, without Streamlit."""
