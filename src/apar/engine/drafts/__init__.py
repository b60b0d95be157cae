"""Drafts: what may come behind each path, verified with it in one pass. The text does not depend on them."""
