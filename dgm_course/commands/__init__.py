"""The commands of ``dgm``, one file a room; each imports what it runs late."""
