"""Models behind one protocol: forward passes append tokens to a cache, and the cache can be rewound."""
