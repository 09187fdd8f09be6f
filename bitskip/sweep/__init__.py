"""From a sweep file to trials: reading, designs, resources, suggestions."""
