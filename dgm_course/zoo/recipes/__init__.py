"""One file a chapter: what is trained, and how it is judged."""
