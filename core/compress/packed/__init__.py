"""The parts of a packed file: its layout, its entropy coding, and where its bytes go."""
