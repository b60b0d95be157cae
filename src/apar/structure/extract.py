"""From an answer to its paragraph tree, or the reason why it has none (APAR paper, section 3.1).

`extract` takes any string and loses nothing: the tree's text is the answer byte for byte. The Markdown parser
gives the blocks, `content` says whether they may run side by side, `lists` and `leads` find the parts, and
here the answer is cut at their borders. Cutting is all that is ever done to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apar.structure.content import content_reasons
from apar.structure.criteria import DEFAULT_CONFIG, ExtractConfig, Part, Reason, Rule
from apar.structure.lists import List, lists
from apar.structure.markdown import parse
from apar.structure.paragraphs import Prose, prose
from apar.tree import Node, ParagraphTree

__all__ = ["ExtractConfig", "Extraction", "Reason", "Rule", "build_tree", "extract"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """The tree of an answer, the rule that found its parts, and, where it is unstructured, why."""

    tree: ParagraphTree
    rule: Rule
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that a rule found, or why it found none."""

    rule: Rule
    parts: tuple[Part, ...] = ()
    reason: Reason | None = None


def extract(response: str, config: ExtractConfig = DEFAULT_CONFIG) -> Extraction:
    """The paragraph tree of an answer; a leaf with a reason where the answer is unstructured."""
    found = _find_parts(response, config)
    if found.reason is not None:
        return Extraction(ParagraphTree.leaf(response), "unstructured", found.reason)
    return Extraction(build_tree(response, found.parts), found.rule)


def build_tree(text: str, parts: Sequence[Part]) -> ParagraphTree:
    """Cut `text` at the borders of `parts`, which are in order and do not overlap.

    Part k's node begins where part k-1's detail ends, so that what stands between two parts (the line break,
    the next marker, a heading) belongs to the later one's lead.
    """
    node = Node(text[parts[-1].end :] if parts else text)
    for k in reversed(range(len(parts))):
        begin = parts[k - 1].end if k else 0
        detail = Node(text[parts[k].lead_end : parts[k].end])
        node = Node(text[begin : parts[k].lead_end], detail, node)
    return ParagraphTree(node)


def _find_parts(text: str, config: ExtractConfig) -> _Parts:
    if not text.strip():
        return _Parts("unstructured", reason="empty")
    document = parse(text)
    refused = next((reason for reason in content_reasons(text, document) if reason in config.refused), None)
    if refused is not None:
        return _Parts("unstructured", reason=refused)
    found = _list_parts(lists(text, document, config), config)
    if found.reason is not None:
        paragraphs = _paragraph_parts(prose(text, document, config), config)
        # Where neither rule applies, a list that was too meagre says more than the paragraphs around it.
        found = found if paragraphs.reason == "too_few_parts" else paragraphs
    return _checked(text, found, config)


def _list_parts(found: Sequence[List], config: ExtractConfig) -> _Parts:
    forking = [one for one in found if _forks(one, config)]
    if not forking:
        long_enough = any(one.num_items >= config.min_parts for one in found)
        return _Parts("unstructured", reason="short_details" if long_enough else "too_few_parts")
    most = max(forking, key=lambda one: len(one.parts))
    parts = tuple(part for one in forking for part in one.parts)
    return _Parts("ordered_list" if most.ordered else "bullet_list", parts)


def _forks(one: List, config: ExtractConfig) -> bool:
    return len(one.parts) >= max(config.min_parts, config.min_fork_share * one.num_items)


def _paragraph_parts(found: Prose, config: ExtractConfig) -> _Parts:
    if found.num_paragraphs < config.min_parts:
        return _Parts("unstructured", reason="too_few_parts")
    if found.refused is not None:
        return _Parts("unstructured", reason=found.refused)
    if len(found.parts) < config.min_parts:
        return _Parts("unstructured", reason="short_details")
    return _Parts("paragraphs", found.parts)


def _checked(text: str, found: _Parts, config: ExtractConfig) -> _Parts:
    """Refuse what forks too widely, or gains next to nothing."""
    if found.reason is not None:
        return found
    if len(found.parts) > config.max_parts:
        return _Parts("unstructured", reason="too_many_parts")
    if max(part.length for part in found.parts) > config.max_part_share * len(text):
        return _Parts("unstructured", reason="one_part")
    return found
