"""How lists end and repeat under several sampling settings, on twelve list questions.

    python recipes/repeated_leads.py [MODEL] > results/smollm2-lists.jsonl

A line of JSON for each answer: forks of its main thread, leads that the thread had said before (the guard's own
comparison), visible tokens, logical steps, and why the answer and its main thread ended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import apar
from apar.decoding.leads import normalized

QUESTIONS = (
    "What are the benefits of drinking enough water?",
    "Give me some tips for learning a new language.",
    "What are good ways to save money each month?",
    "List ways to reduce stress at work.",
    "What are some advantages of reading books?",
    "How can I make my home more energy efficient?",
    "What are the benefits of regular exercise?",
    "Give me some ideas for a birthday party for a ten-year-old.",
    "What should I consider before adopting a dog?",
    "What are common mistakes in job interviews?",
    "Suggest ways to eat healthier.",
    "What are the main causes of traffic jams?",
)
GREEDY = apar.SamplingParams(max_tokens=600, seed=0)
SETTINGS = {
    "greedy": GREEDY,
    "repeated_leads end": replace(GREEDY, repeated_leads="end"),
    "frequency_penalty 0.3": replace(GREEDY, frequency_penalty=0.3),
    "both": replace(GREEDY, frequency_penalty=0.3, repeated_leads="end"),
    "temperature 0.7, top_p 0.9": replace(GREEDY, temperature=0.7, top_p=0.9),
}


def leads(answer: apar.Answer) -> Iterator[str]:
    """The leads of the main thread, as the guard compares them."""
    text = ""
    for event in answer.events:
        if event.thread != (0,):
            continue
        if isinstance(event, apar.Delta):
            text += event.text
        elif isinstance(event, apar.Forked):
            yield normalized(text.strip().split("\n")[-1])
            text = ""


def main() -> None:
    llm = apar.LLM(sys.argv[1] if len(sys.argv) > 1 else "demo")
    for name, params in SETTINGS.items():
        for question, answer in zip(QUESTIONS, llm.generate(list(QUESTIONS), params), strict=True):
            said = list(leads(answer))
            line = {"setting": name, "question": question, "leads": len(said), "repeated": len(said) - len(set(said))}
            ends = [e.reason for e in answer.events if e.thread == (0,) and isinstance(e, apar.Finished)]
            line |= {"tokens": answer.tokens, "steps": answer.steps, "finish": answer.finish_reason, "thread": ends[0]}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
