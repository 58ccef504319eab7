"""Image files of the user: find them, decode them, keep the pixels."""
