"""Table columns for the figures of a quantized layer, which two pages show."""

import streamlit as st

QUANTIZED_LAYER_COLUMNS = {
    "layer": st.column_config.TextColumn("Layer", pinned=True),
    "weights": st.column_config.NumberColumn("Weights", format="localized"),
    "levels": st.column_config.TextColumn(
        "Levels",
        help=(
            "Number of different values that the weights have, and zero where pruned weights stay"
            " zero. With a scale for every channel, these are the values before scaling."
        ),
    ),
    "bits": st.column_config.NumberColumn(
        "Bits",
        format="%.2f",
        help=(
            "Bits for each weight in the packed file, on average. They are entropy-coded, and"
            " include the layer's centroids or scales."
        ),
    ),
    "bytes": st.column_config.NumberColumn(
        "Bytes", format="localized", help="Size of the layer in the packed file."
    ),
    "snr": st.column_config.NumberColumn(
        "SNR (dB)",
        format="%.1f",
        help=(
            "Signal-to-noise ratio of the quantized weights: those of the packed file in a finished"
            " run, those before tuning in a forecast and while a run tunes. Six decibels are worth"
            " about one bit. It is empty where quantization changes nothing."
        ),
    ),
}
