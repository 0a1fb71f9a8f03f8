"""What several parts know of a model: its folder, tokenizer, packing, critic and devices."""
