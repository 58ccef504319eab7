"""Files that survive crashes, and the shards made of them."""
