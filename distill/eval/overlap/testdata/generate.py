"""Makes the expected values of this folder with the Python packages sacrebleu 2.6.0, rouge-score 0.1.2 and nltk 3.10.4.

    python generate.py SHARED

SHARED is the folder with data/cnn_dailymail and data/lm_corpus. No text of theirs is written: of the news only scores of
whole files, of the corpus only words that occur in it at least three times.
"""
import collections
import glob
import gzip
import json
import os
import random
import re
import sys

import nltk
import sacrebleu
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SCORER = RougeScorer(TYPES, use_stemmer=True)

PAIRS = [  # text, reference
    ("", ""), ("", "a reference"), ("a text", ""), (" \n\t ", "words"), ("!?", "?!"), ("one", "one"), ("one two", "one two"),
    ("The cat sat on the mat.", "The cat sat on the mat."), ("the cat sat on the mat", "The cat sat on the mat."),
    ("the the the the the the the", "the cat is on the mat"), ("the cat is on the mat", "the the the the the the the"),
    ("It costs $1,234.56, or 3.5% more.", "It costs $1,234.57 (3.5 % more) ."), ("1,2,,3..4.5.", "1,2, ,3. .4.5 ."),
    ("1990-2000 and pre-war, x-1, 7-", "1990 - 2000 and pre - war , x-1 , 7 -"), (".,.,", ",.,."), ("a.b,c.d", "a . b , c . d"),
    ("a,1 1,a a.1 1.a .5 5. ,5 5,", "a, 1 1 ,a a .1 1. a . 5 5 . , 5 5 ,"), ("Mr. O'Neil's U.S.A. visit", "Mr O ' Neil 's U.S.A visit"),
    ("he said &quot;yes&quot; &amp; left", 'he said "yes" & left'), ("&lt;b&gt; &amp;lt; &amp;quot;", "<b> < &quot;"),
    ("&apos;tis &#39;twas &nbsp; &QUOT;", "'tis 'twas"), ("a <skipped> b<skipped>c d e", "a b c d e"),
    ("hyphen-\nated words-\n", "hyphenated words"), ("line one .\nline two .\nline three .", "line two .\nline one .\nline four ."),
    ("\n\nfirst\n\n\nsecond\n", "second\nfirst"), ("a\r\nb\rc", "a b c"), ("tabs\tand\u00a0no-break\u2003em\u3000wide", "tabs and no-break em wide"),
    ("sep\x1cfs\x1dgs\x1ers\x1fus\x0bvt\x0cff\x85nel\u200bzw\u2028ls\u180emv", "sep fs gs rs us vt ff nel zw ls mv"),
    ("naïve café résumé", "naive cafe resume"), ("cafe\u0301 na\u0308ive", "café naïve"), ("ÉCOLE École école", "école école école"),
    ("İstanbul İİ Iı", "istanbul i̇i̇ iı"), ("\u212aelvin \u212bngstrom ſharp ß ẞ", "kelvin ångström sharp ss ß"), ("ΟΔΟΣ Σ", "οδος σ"),
    ("日本語のテキスト。", "日本語 の テキスト 。"), ("x，y、z。3.5。a.。,b", "x , y 、 z 。 3.5 。 a . 。 , b"), ("🙂 ok 👨‍👩‍👧.", "🙂 OK 👨‍👩‍👧 ."),
    ("“quoted” – it’s…", '"quoted" - it\'s...'), ("a\x00b \x7f \ufffd", "a b \ufffd"), ("[x]{y}(z)<w>", "[ x ] { y } ( z ) < w >"),
    ("`~!@#$%^&*()_+-={}|[]\\:\";'<>?,./", "` ~ ! @ # $ % ^ & * ( ) _ + - = { } | [ ] \\ : \" ; ' < > ? , . /"), ("snake_case a/b c\\d", "snake case a b c d"),
    ("The running dogs were happily jumping.", "A dog runs and jumps happily"), ("relational nationally skies dying news", "relate nation sky die new"),
    ("a b c d e f g", "g f e d c b a"), ("a b c d\na b c d", "a b\nc d"), ("a x b y c\nz a c", "a b c\na b\nc a"),
    ("the cat the cat\nthe dog", "the the cat\ncat the dog dog\nthe"), ("w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"),
    ("Three short words", "Three short words"), ("To be, or not to be: that is the question.", "To be or not to be, that is a question!"),
    ("x" * 3000, "x" * 2999 + "y"), ("y" * 200 + " " + "y" * 200 + "ing", "y" * 200 + "s"), ("12345 1234th 3rd4s 007ing", "12345 1234th 3rd4 007"),
]

SUFFIXES = """s ies sses ss ied eed ed ing at bl iz ll y e ational tional enci anci izer abli bli alli entli eli ousli ization
ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic
able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize""".split() + [""]
IRREGULAR = """skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed
proceeds proceeding exceeded succeeds dies ties died tied flies spied""".split()


def made_up():
    """Texts of few words in random order, with lines and repetitions: the longest common subsequence is far from unique."""
    rng = random.Random(5)

    def text(words, vocabulary, lines):
        tokens = [rng.choice("abcdefghijklmnopqrstuvwxyz"[:vocabulary]) for _ in range(words)]
        for _ in range(lines):
            tokens.insert(rng.randrange(len(tokens)), "\n")
        return " ".join(tokens)

    for words, vocabulary, lines in [(5, 2, 1), (12, 3, 2), (30, 4, 3), (63, 4, 0), (64, 4, 0), (65, 4, 0), (130, 8, 4), (150, 3, 0), (700, 20, 1)]:
        for _ in range(4):
            yield text(words, vocabulary, lines), text(rng.randrange(words // 2, words * 2), vocabulary, lines)


def numbers(score):
    return [score.precision, score.recall, score.fmeasure]


def bleu(hypotheses, references):
    b = sacrebleu.metrics.BLEU().corpus_score(hypotheses, [references])
    return {"score": b.score, "precisions": b.precisions, "matches": b.counts, "totals": b.totals, "brevity_penalty": b.bp,
            "hypothesis_length": b.sys_len, "reference_length": b.ref_len}


def news(shared):
    """Scores of the highlights against the first three sentences of the article, and against all of it."""
    for path in sorted(glob.glob(os.path.join(shared, "data", "cnn_dailymail", "*.jsonl.gz"))):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as f:
            rows = [json.loads(line) for line in f]
        references = [r["highlights"] for r in rows]
        for name, texts in [("lead 3", ["\n".join(r["article"].split(". ")[:3]) for r in rows]), ("article", [r["article"] for r in rows])]:
            scores = [SCORER.score(r, t) for t, r in zip(texts, references)]
            mean = {k: [sum(numbers(s[k])[i] for s in scores) / len(scores) for i in range(3)] for k in TYPES}
            yield {"file": os.path.basename(path), "texts": name, "pairs": len(rows), "bleu": bleu(texts, references), "rouge": mean}


def words(shared):
    """Words of the corpus, and made-up ones with every suffix that a rule names behind stems of every shape."""
    counts = collections.Counter()
    for path in glob.glob(os.path.join(shared, "data", "lm_corpus", "*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as f:
            counts.update(re.findall("[a-z0-9]+", f.read().lower()))
    found = {w for w, n in counts.items() if n >= 3 and 3 < len(w) < 30}
    stems = ["", "b", "y", "yy", "by", "ay", "ab", "tr", "oat", "hop", "hopp", "fall", "hiss", "enjoy", "yay", "ayy", "abab", "falsif",
             "conflat", "troubl", "siz", "box", "snow", "7", "a7", "ad", "adopt", "divis", "mm", "archaeo", "geo", "controll", "roll"]
    return sorted(found | set(IRREGULAR) | {a + b + c for a in stems for b in SUFFIXES for c in ("", "s", "ed", "ing", "ly") if len(a + b + c) > 3})


def main():
    shared = sys.argv[1]
    pairs = PAIRS + list(made_up())
    out = {
        "versions": {"sacrebleu": sacrebleu.__version__, "rouge_score": "0.1.2", "nltk": nltk.__version__},
        "bleu_of_all": bleu([t for t, _ in pairs], [r for _, r in pairs]),
        "news": list(news(shared)),
        "pairs": [{"text": t, "reference": r, "bleu": bleu([t], [r]), "rouge": {k: numbers(s) for k, s in SCORER.score(r, t).items()}} for t, r in pairs],
    }
    with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(out, indent=None, separators=(",", ":"), ensure_ascii=True).replace('{"text"', '\n{"text"') + "\n")
    stemmer = PorterStemmer()
    lines = "".join(f"{w} {stemmer.stem(w)}\n" for w in words(shared))
    with gzip.GzipFile(os.path.join(HERE, "stems.txt.gz"), "wb", compresslevel=9, mtime=0) as f:
        f.write(lines.encode())


if __name__ == "__main__":
    main()
