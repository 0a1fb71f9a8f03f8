"""Text to tokens and back: the tokenizer of a model folder, its chat template and special tokens."""
