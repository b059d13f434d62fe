"""Models behind one protocol: a forward that appends tokens to a cache, and a cache that rewinds."""
