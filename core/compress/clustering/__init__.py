"""One-dimensional k-means: Lloyd's algorithm, the exact optimum, and training the centroids."""
