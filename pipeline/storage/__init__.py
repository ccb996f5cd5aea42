"""Files on disks that may be full, slow, or lose power."""
