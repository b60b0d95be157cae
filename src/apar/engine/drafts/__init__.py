"""Drafts: what may come behind each path, verified with it in one pass. The text does not depend on them."""

from apar.engine.drafts.draft import MAX_DRAFT_TOKENS, Draft

__all__ = ["MAX_DRAFT_TOKENS", "Draft"]
