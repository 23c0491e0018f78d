"""The 3D fully connected conditional random field."""
