"""What other tools make and read: results from elsewhere, trainers of one's own."""
