"""Draws the weights of convolutions and linear layers, and pairs the layers of two networks."""
