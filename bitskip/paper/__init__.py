"""Claims of the BitSkip paper, and which defect makes which of its numbers."""
