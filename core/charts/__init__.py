"""Pictures: plain data in, an Altair chart or a matplotlib figure out. Nothing here knows Streamlit."""
