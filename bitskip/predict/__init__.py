"""A response surface over the design space, its intervals and where it stops to hold."""
