"""A tiny language model whose tokenizer keeps words whole, so that every built-in task can be made for it."""

from __future__ import annotations

import functools

import tiny_models

from sememe.circuits.tasks import docstring, greater_than, induction, ioi
from sememe.circuits.tasks import vocabulary as words
from sememe.models import LanguageModel


def whole_word_tokenizer():
    """One token a word, a digit or a mark."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    lists = (words.NAMES, words.PLACES, words.OBJECTS, words.EVENTS, words.NOUNS, words.IDENTIFIERS)
    templates = " ".join([*ioi.TEMPLATES, *greater_than.TEMPLATES, *induction.TEMPLATES])
    splitting = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    marks = [piece for piece, _ in splitting.pre_tokenize_str(templates + ' the def self """ : , ): ( param :param')]
    vocabulary = dict.fromkeys(["[UNK]", *"0123456789", *marks, *(word for listed in lists for word in listed)])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitting
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", model_max_length=64)


def causal_model(family, n_tokens):
    """One of the families of `tiny_models`, with another vocabulary."""
    model = tiny_models.causal_model(family)
    model.resize_token_embeddings(n_tokens, mean_resizing=False)
    return tiny_models.randomised(model)


@functools.cache
def tiny_model(family="llama"):
    """A random model with three layers of four heads."""
    tokenizer = whole_word_tokenizer()
    return LanguageModel(causal_model(family, len(tokenizer)), tokenizer, name=family)


@functools.cache
def tiny_task(n=6):
    """Pairs of indirect object identification, two of a length at least."""
    return ioi.ioi(tiny_model(), n, 0)


__all__ = ["causal_model", "docstring", "tiny_model", "tiny_task", "whole_word_tokenizer"]
