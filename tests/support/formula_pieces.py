"""Texts made of pieces of formulas, most of them broken."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", "|", "^", "_", "!", "%", "=", "<", ",", ";", ":", "&", "'", "+",
     "-", "*", "/", "0", "1", "9", "99999", ".5", "x", "e", "i", "f(", "log", "sin", " ", "\n",
     r"\\", r"\{",
     r"\}", r"\frac", r"\sqrt", r"\sqrt[", r"\binom", r"\sum", r"\int", r"\infty", r"\pm", r"\cup",
     r"\in", r"\le", r"\approx", r"\left(", r"\right]", r"\text{", r"\text{and}", r"\circ",
     r"\overline{",
     r"\begin{matrix}", r"\end{matrix}", r"\begin{cases}", r"\end{cases}", r"\boxed{", r"\lfloor",
     r"\rceil", "½", "²", "π", "√", "∞", "٣", "\u200b", "\u202e", "\x00", "\ud800",
     "a.m.", "cm", "eleven"]
)  # fmt: skip
FORMULAS = st.lists(PIECES, max_size=25).map("".join)
