"""Feature shards, run folders and sweep folders on disk, written to survive crashes."""
