"""Who may do what with the runs of a server that several people share."""
