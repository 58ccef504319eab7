"""From run folders to one page: `collect` what varies, draw `charts`, put them on the `page`."""
