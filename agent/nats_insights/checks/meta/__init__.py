"""The meta group: the servers that assign streams and consumers to servers."""
