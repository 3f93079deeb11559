"""The work of each kind of recipe, one file a kind, and the protocol that they share."""
