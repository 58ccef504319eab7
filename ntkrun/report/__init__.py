"""Report runs on one page: `collect` them, draw `charts`, write the `page`."""
