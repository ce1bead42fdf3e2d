"""The digest as a message, and its way to the mail server."""
