"""Other ways out for a digest: a signed webhook, chats, Markdown files."""
