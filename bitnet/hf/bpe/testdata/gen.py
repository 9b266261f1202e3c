"""Makes the tokenizers and expected ids of this folder with the `tokenizers` package (0.23.3).

    python gen.py STORIES260K_JSON QWEN3_JSON SMOLLM2_JSON

The three are tokenizer.json files: karpathy's stories260K (MIT), Qwen3 and SmolLM2 (Apache-2.0). Vocabularies are cut to
a few hundred merges; the other sections are the published ones or variants that the code has to tell apart.
"""
import copy
import json
import random
import sys

from tokenizers import Tokenizer

TEXTS = [
    "", " ", "  ", "\n", "a", "Hello", " Hello", "Once upon a time, there was a little girl named Lily.",
    "It's I'm you're WE'LL they'D he'ſ 'S 'st don't can''t 'ré", "123 4567 1,234.56 ½ Ⅷ ٣٤٥ 12345678901",
    "   three spaces   in   between   ", "tabs\t\tand\r\nnewlines\n\n\n  \n x\n", " \n \n a", "\r\n\r\n",
    "a\u00a0b\u2003c\u3000d\u0085e\u200bf\ufeffg\u180eh\x1ci\x1fj\x0bk\x0cl", "emoji 🙂👨‍👩‍👧 🇩🇪 👍🏽 end",
    "日本語のテキスト、中文。한국어", "naïve café cafe\u0301 A\u030a \u1100\u1161 ﬁ Å", "مرحبا हिन्दी ไทย עברית",
    "<s>hi</s> <|endoftext|> <|im_start|>user\nhi<|im_end|>", "<s", "<unk>x<unk>", "▁under▁ ▁▁ score", "<0x41> <0xF0>",
    "x" * 90, " " * 70 + "y", "\x00\x01\x7f", "\U0010ffff \ufffd \ue000", "for (i = 0; i < n; ++i) { a[i] += 2; }\n\t// done...!\n",
    "___---===***///\\\\", "don’t “quote” — dash…", "\u0301 combining first", "ǅ ǲ ʰ ª º 1st x² H₂O", "\n\n \t \n\nend",
    "foo\r\n   bar", "  \u00a0 \n\u00a0\n x", "whole words there",
]
POOL = "aAethn é'sStr\n\r\t  0١¼.,!-_<>|▁🙂日\u0301\u00a0ſ"


def cut(data, merges):
    """The tokenizer with its first merges and the tokens they need."""
    data = copy.deepcopy(data)
    model = data["model"]
    model["merges"] = [m.split(" ") if isinstance(m, str) else m for m in model["merges"][:merges]]
    made = {a + b for a, b in model["merges"]}
    single = {t for t in model["vocab"] if len(t) == 1 or t.startswith("<0x") or t in ("<unk>", "<s>", "</s>")}
    added = [a for a in data["added_tokens"] if a["content"] in ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    tokens = sorted(single | made, key=model["vocab"].get)
    tokens = [t for t in tokens if t not in {a["content"] for a in added}] + [a["content"] for a in added]
    ids = {t: i for i, t in enumerate(tokens)}
    model["vocab"] = ids
    for a in added:
        a["id"] = ids[a["content"]]
    data["added_tokens"] = added
    if data["post_processor"] and "special_tokens" in data["post_processor"]:
        for name, s in data["post_processor"]["special_tokens"].items():
            s["ids"] = [ids[name]]
    return data


def variants(stories, qwen, smollm):
    stories, qwen, smollm = cut(stories, 170), cut(qwen, 400), cut(smollm, 400)
    yield "sentencepiece", stories
    v = copy.deepcopy(stories)
    v["model"].update(byte_fallback=False, fuse_unk=True)
    for a in v["added_tokens"]:
        a["normalized"] = a["content"] != "</s>"
    yield "unknown_fused", v
    v = copy.deepcopy(stories)
    v["model"].update(byte_fallback=False, fuse_unk=False)
    v["normalizer"] = v["normalizer"]["normalizers"][1]
    v["pre_tokenizer"] = {"type": "Split", "pattern": {"String": "▁"}, "behavior": "MergedWithPrevious", "invert": False}
    yield "split_at_string", v
    yield "qwen3", qwen
    yield "smollm2", smollm
    v = copy.deepcopy(smollm)
    v["pre_tokenizer"] = copy.deepcopy(qwen["pre_tokenizer"])
    pattern = v["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    pattern["Regex"] = pattern["Regex"].replace(r"|\p{N}|", r"|\p{N}{1,3}|")
    v["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True
    v["model"]["ignore_merges"] = True
    v["model"]["vocab"]["Ġwhole"] = len(v["model"]["vocab"])
    yield "llama3_pattern", v


def main():
    random.seed(3)
    sources = [json.load(open(p, encoding="utf8")) for p in sys.argv[1:]]
    texts = TEXTS + ["".join(random.choice(POOL) for _ in range(random.randint(1, 40))) for _ in range(120)]
    expected = {"texts": texts, "tokenizers": {}}
    for name, data in variants(*sources):
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        with open(name + ".json", "w", encoding="utf8") as f:
            f.write(text + "\n")
        t = Tokenizer.from_str(text)
        ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
        cuts = [[random.randrange(t.get_vocab_size()) for _ in range(8)] for _ in range(60)]
        want = {"ids": ids, "prefix": t.encode("", add_special_tokens=True).ids}
        if name != "unknown_fused":  # decoded, its normalized special tokens appear as "▁<unk>" in this version
            want["decoded"] = [t.decode(i) for i in ids]
            want["cuts"] = [{"ids": c, "decoded": t.decode(c)} for c in cuts]
        expected["tokenizers"][name] = want
    with open("expected.json", "w", encoding="utf8") as f:
        json.dump(expected, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


main()
