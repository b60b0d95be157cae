"""What runs in the next forward pass, and in which blocks of the cache, for engines that run passes. No torch."""
