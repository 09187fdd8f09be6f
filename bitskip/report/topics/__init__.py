"""What a report tells of, a function a topic: from the summary to tables and texts. `document` lists them."""
