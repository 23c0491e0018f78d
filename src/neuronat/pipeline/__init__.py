"""The whole sentence: scan in, label maps and tables out."""
