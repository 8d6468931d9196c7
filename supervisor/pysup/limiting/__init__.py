"""Changing limits of what runs, and looking how near it comes to them."""
