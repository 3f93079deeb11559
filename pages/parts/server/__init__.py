"""The app for several people: the login, and what each of them may do."""
