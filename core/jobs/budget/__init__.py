"""Finds a network within a budget: measures layers, searches choices, tunes, packs and tests."""
