"""Tiny random Qwen3 models with a character tokenizer, made in the test that needs them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CHARACTERS = ["<pad>", "<bos>", "<eos>", *map(chr, range(32, 127)), "\n"]
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def tiny_model(seed: int, tied: bool = False, sharpness: float = 0.2) -> Qwen3ForCausalLM:
    """A random model of some 100k parameters; ``sharpness`` is the spread of its weights."""
    torch.manual_seed(seed)
    return (
        Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(CHARACTERS),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
                max_position_embeddings=1024,
                tie_word_embeddings=tied,
                initializer_range=sharpness,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            )
        )
        .float()
        .eval()
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token per character."""
    tokenizer = Tokenizer(
        models.WordLevel({character: token_id for token_id, character in enumerate(CHARACTERS)}, unk_token="<pad>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", chat_template=CHAT_TEMPLATE
    )


def save_tiny_model(folder: Path, seed: int = 0, tied: bool = False) -> Qwen3ForCausalLM:
    """Write model and tokenizer as a Hugging Face folder; returns the model."""
    model = tiny_model(seed, tied)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model


@torch.no_grad()
def log_probs_of(model: Qwen3ForCausalLM, token_ids: list[int]) -> list[float]:
    """[n - 1] log-prob of each token but the first by a plain float32 forward."""
    ids = torch.tensor([token_ids])
    all_log_probs = torch.log_softmax(model(input_ids=ids).logits[0, :-1].float(), -1)
    return all_log_probs.gather(1, ids[0, 1:, None])[:, 0].tolist()
