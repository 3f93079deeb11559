"""The user's own images: data sets called Folder/NAME, made from one folder of images per class."""

from core.data.folder.catalogue import imported_names, imported_path, remove
from core.data.folder.importing import import_folder

__all__ = ["import_folder", "imported_names", "imported_path", "remove"]
