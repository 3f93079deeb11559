"""Table columns for the figures of a quantized layer. Two pages show the first ones."""

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

_OUTPUT_ERROR_HELP = (
    "Mean squared difference from the float network's outputs of this layer, as a share of their"
    " mean square, in percent. It is measured before any tuning, on the training images that were"
    " rounded on, with the layers before it quantized."
)
OUTPUT_ERROR_COLUMNS = {
    "nearest_error": st.column_config.NumberColumn(
        "Output error, nearest",
        format="%.3g%%",
        help=f"{_OUTPUT_ERROR_HELP} Here each weight of the layer has its nearest level.",
    ),
    "output_error": st.column_config.NumberColumn(
        "Output error, compensated",
        format="%.3g%%",
        help=(
            f"{_OUTPUT_ERROR_HELP} Here its weights make up for each other's rounding errors, and"
            " for those of the layers before it."
        ),
    ),
}
