"""A run as one zip: written on one machine, checked and opened on another."""
