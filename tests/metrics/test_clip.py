"""CLIP-I and CLIP-T by a small CLIP of random weights, beside transformers' own forward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from chronosim.errors import InvalidModel, InvalidPrompt, ModelNotFound
from chronosim.metrics.clip import load_clip

Draw = Callable[..., Any]
hf: Any = transformers  # untyped
WORDS = ["<start>", "<end>", "a", "red", "car", "turns", "left"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clip")
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(place)
    narrow = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = narrow | {"vocab_size": 7, "max_position_embeddings": 8, "eos_token_id": 1}
    vision = narrow | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    hf.CLIPModel(config).save_pretrained(place)
    hf.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(place)
    return place


def test_it_is_what_clip_says(folder: Path, draw: Draw) -> None:
    before, after = draw(2, side=48)
    clip = load_clip(folder)
    model = hf.CLIPModel.from_pretrained(folder)
    pictures = hf.CLIPImageProcessorPil.from_pretrained(folder)(
        images=[Image.fromarray(before), Image.fromarray(after)], return_tensors="pt"
    )
    words = hf.AutoTokenizer.from_pretrained(folder)("a red car", return_tensors="pt")
    with torch.inference_mode():
        said = model(**pictures, input_ids=words["input_ids"])
    seen, read = said.image_embeds, said.text_embeds
    assert clip.compare_frames(before, after) == pytest.approx(float(seen[0] @ seen[1]), abs=1e-5)
    assert clip.compare_words(after, "a red car") == pytest.approx(
        float(seen[1] @ read[0]), abs=1e-5
    )
    assert clip.compare_frames(before, before) == pytest.approx(1)
    assert clip.compare_words(after, "a red car") != clip.compare_words(after, "turns left")


def test_words_beyond_what_it_reads_are_refused_not_cut(folder: Path) -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    clip = load_clip(folder)
    clip.compare_words(frame, "a red car turns left left")
    with pytest.raises(InvalidPrompt, match=r"reads 8 tokens at once, .* has 9"):
        clip.compare_words(frame, "a red car turns left left left")


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="there is no model folder"):
        load_clip(tmp_path / "none")
    with pytest.raises(
        ModelNotFound, match=r"the model of owner/clip is not in the cache .* does not give it"
    ):
        load_clip("owner/clip")
    with pytest.raises(InvalidModel, match="cannot be loaded as a CLIP"):
        load_clip(tmp_path)
