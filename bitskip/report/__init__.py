"""What a results folder says: numbers in `summary`, the terminal in `terminal`. Presentation only."""
