"""Copies runs to the trackers that people have: MLflow and TensorBoard."""
