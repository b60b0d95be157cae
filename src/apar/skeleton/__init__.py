"""Skeleton-of-Thought (Ning et al., arXiv 2307.15337), a way to answer in parallel that forking is measured against:
one request for an outline, then a request for each of its points, all at the same time.
"""
