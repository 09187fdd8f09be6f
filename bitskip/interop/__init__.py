"""What other tools make: results from elsewhere."""
