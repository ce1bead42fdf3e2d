"""The pages: for readers, for subscribers, for the operator."""
