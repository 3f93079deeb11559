"""The runs as files: as one zip each, and the disk that they take."""
