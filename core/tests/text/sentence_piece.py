"""Makes a small tokenizer of umT5's form, and what SentencePiece itself makes of texts with it:
sentence_piece.model, sentence_piece.gguf and sentence_piece.json, which core/src/text/sentence_piece/tests.rs
compares with.

    pip install sentencepiece==0.2.1 gguf==0.19.0
    python core/tests/text/sentence_piece.py

Trained on the texts of prompts.json. The model has SentencePiece's own map of characters (nmt_nfkc), bytes for
what has no piece, and two pieces that texts may name. The GGUF file has the lists of a smaller one.
"""

import io
import json
import random
import unicodedata
from pathlib import Path

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

HERE = Path(__file__).parent

BY_HAND = [
    "",
    " ",
    "a",
    "  two  blanks   and more    ",
    "\u3000full\u3000width\u00a0blank\u2009thin\u202fnarrow",
    "tab\tand\nline",
    "ﬁre ﬂame ﬃ Ⅷ ① ㎏ ½ ™ ﷽",
    "Ｆｕｌｌ ｗｉｄｔｈ １２３！？",
    "ﾊﾝｶｸ ｶﾞ ﾃｽﾄ",
    "e\u0301te\u0301 cafe\u0301",
    "透明な背景。一只红色的狐狸跑过雪地，背景透明。",
    "빨간 여우가 눈 덮인 들판을 달린다",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "😀 👩‍🚀 🇫🇷 ❤️",
    "𠮷野家 𝔘𝔫𝔦 ꙮ ሰላም",
    "soft\u00adhyphen zero\u200bwidth joiner\u200d",
    "▁underlined▁ ▁",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "x" * 300,
    "The background of this video is transparent.",
]
SPELLED = ["a </s> b", "<pad>", "<unk> is unknown", "before <extra_id_0> after", "<extra_id_1><extra_id_0>"]


def corpus():
    parts = json.loads((HERE / "prompts.json").read_text())
    return [row[1] for rows in parts.values() for row in rows if row[1]]


def mixed(texts, count):
    """Sentences of pieces of others, with blanks and letters put in by chance."""
    chance = random.Random(19)
    odd = "  \u3000éÅｱ火龙🜁ꙮ\u0301½㎏fi▁"
    made = []
    for _ in range(count):
        words = [w for _ in range(3) for w in chance.choice(texts).split()]
        chance.shuffle(words)
        text = list(" ".join(words[:12]))
        for _ in range(chance.randrange(4)):
            text.insert(chance.randrange(len(text) + 1), chance.choice(odd))
        made.append("".join(text))
    return made


def train(texts, size, rule):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=size,
        character_coverage=0.98, byte_fallback=True, normalization_rule_name=rule, pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, user_defined_symbols=["<extra_id_0>", "<extra_id_1>"], minloglevel=2, num_threads=1,
    )
    return model.getvalue()


def rows(model, texts):
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model)
    special = ("</s>", "<pad>", "<unk>", "<extra_id_", "<0x")
    return [[t, tokenizer.encode(t) + [1]] for t in texts if not any(s in t for s in special)]


def write_gguf(model, path):
    parsed = proto.ModelProto.FromString(model)
    writer = gguf.GGUFWriter(path, "t5encoder")
    writer.add_tokenizer_model("t5")
    writer.add_token_list([p.piece.encode() for p in parsed.pieces])
    writer.add_token_scores([p.score for p in parsed.pieces])
    writer.add_token_types([p.type for p in parsed.pieces])
    writer.add_add_space_prefix(parsed.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(parsed.normalizer_spec.remove_extra_whitespaces)
    if parsed.normalizer_spec.precompiled_charsmap:
        writer.add_precompiled_charsmap(parsed.normalizer_spec.precompiled_charsmap)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def apart_from_nfkc():
    """Characters of which nmt_nfkc makes something else than NFKC does: those that it leaves out, and those that
    become a blank (core/src/text/sentence_piece/usual_map.rs has them)."""
    usual = sentencepiece.SentencePieceNormalizer(
        rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=False)
    found = {"": [], " ": []}
    for code in range(1, 0x110000):
        if not 0xD800 <= code < 0xE000:
            made = usual.normalize(f"a{chr(code)}a")[1:-1]
            if made in found and made != unicodedata.normalize("NFKC", f"a{chr(code)}a")[1:-1]:
                found[made].append(f"{code:x}")
    return found


def main():
    print(apart_from_nfkc())
    texts = corpus()
    model = train(texts, 1100, "nmt_nfkc")
    (HERE / "sentence_piece.model").write_bytes(model)
    small = train(texts, 900, "nmt_nfkc")
    write_gguf(small, HERE / "sentence_piece.gguf")
    chosen = BY_HAND + random.Random(7).sample(texts, 150) + mixed(texts, 150)
    written = {"model": rows(model, chosen), "gguf": rows(small, chosen), "spelled": SPELLED}
    lines = [f"{json.dumps(part)}: [\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]" for part, rows in written.items()]
    (HERE / "sentence_piece.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
