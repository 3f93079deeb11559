"""The parts that the pages are put together from."""
