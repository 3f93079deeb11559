"""Charts that compare runs. Each takes plain data and knows no Streamlit and no torch."""
