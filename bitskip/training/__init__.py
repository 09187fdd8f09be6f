"""One trial, trained and measured."""
