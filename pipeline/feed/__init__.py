"""From a feed's address to parsed episodes, and what a poll decides."""
