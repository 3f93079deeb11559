"""The user's own images in files of many images: .npz, and Parquet as Hugging Face stores it."""

from core.data.labelled.importing import import_images

__all__ = ["import_images"]
