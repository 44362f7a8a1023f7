"""What the built guide has beside the pages of docs/: the reference, from the code, and pictures of its diagrams."""
