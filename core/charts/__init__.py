"""Charts: each takes plain data and returns an Altair chart or a matplotlib figure.

Nothing here uses Streamlit or torch.
"""
