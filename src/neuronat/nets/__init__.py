"""The networks, and the folders that models live in."""
