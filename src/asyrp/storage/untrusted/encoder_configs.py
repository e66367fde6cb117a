"""Configs of transformers: fields that no class of the library reads are named in a warning."""

from collections.abc import Iterator, Mapping
from typing import Any

from asyrp.storage.config_fields import name_passed_over, said

# Of every config that transformers 4 wrote: how texts are generated, how classes are predicted,
# how a file was made. Nothing of it changes the features of a picture or a text.
IDLE = """
add_cross_attention auto_map bad_words_ids begin_suppress_tokens bos_token_id
cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
forced_bos_token_id forced_eos_token_id is_decoder length_penalty max_length min_length model_type
no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences output_attentions
output_scores pad_token_id prefix pruned_heads remove_invalid_values repetition_penalty
return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature
text_config_dict tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k
top_p torch_dtype torchscript transformers_version typical_p use_bfloat16 use_cache
vision_config_dict
"""


def name_unread(config: Mapping[str, Any], built: Any, whose: str) -> None:
    """Warn in one line of the fields that the class of a config does not know.

    Args:
        config: what the file says. built: what transformers made of it. whose: the file.
    """
    fields = dict(unread(config, built))
    name_passed_over(fields, whose, f"{type(built).__name__} of transformers does not know them")


def unread(config: Mapping[str, Any], built: Any) -> Iterator[tuple[str, Any]]:
    """("vision_config.name", value) of each field that the class has no default for.

    Of a class that cannot be without its parts, as that of two encoders of any kind, those of the
    parts.
    """
    try:
        known = {*type(built)().to_dict(), *built.attribute_map, *IDLE.split()}
    except (TypeError, ValueError):
        known = set(config)
    for name, value in said(config).items():
        inner = getattr(built, name, None)
        if isinstance(value, Mapping) and hasattr(inner, "attribute_map"):
            yield from ((f"{name}.{field}", one) for field, one in unread(value, inner))
        elif name not in known:
            yield name, value
