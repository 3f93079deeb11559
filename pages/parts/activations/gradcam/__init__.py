"""The Grad-CAM view of the activations page: its choices, its maps, and their pictures."""
