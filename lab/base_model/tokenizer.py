"""A character-level tokenizer in the Hugging Face form.

Invariants: 99 tokens (padding, end, unknown, newline, printable ASCII); one token per character,
so encoding and decoding are inverse for text of those characters; anything else is ``<unk>``.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PADDING, END, UNKNOWN = "<pad>", "<eos>", "<unk>"
CHARACTERS = ["\n", *map(chr, range(ord(" "), ord("~") + 1))]

# The prompt ends in "?" and the response opens with a new line: a chat turn needs no mark-up.
_CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def build_tokenizer(context_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer, ready for ``save_pretrained``; loads again through ``AutoTokenizer``."""
    vocabulary = {token: index for index, token in enumerate([PADDING, END, UNKNOWN, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    # "." would not match the newline, which would then vanish from every encoding.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=context_length,
        clean_up_tokenization_spaces=False,
        chat_template=_CHAT_TEMPLATE,
    )
