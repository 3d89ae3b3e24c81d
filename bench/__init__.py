"""The benchmark: what a hop costs, measured against yardsticks in the same run (`make bench`)."""
