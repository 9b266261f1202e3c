"""Hashes of the ids that Hugging Face's tokenizers gives the first 2,000 lines of every corpus, for bitnet/hf/bpe's tests.

    tokenizer_reference.py SHARED > bitnet/hf/bpe/testdata/corpora.json

SHARED is the folder with data/tokenizers and data/lm_corpus. Needs tokenizers 0.23.3. A hash is the SHA-256 of the ids of 100 lines, each
id as four bytes, little endian, and each line with its end, encoded by itself without special tokens.
"""
import glob, gzip, hashlib, json, os, struct, sys
from tokenizers import Tokenizer

shared = sys.argv[1]
result = {}
for folder in sorted(glob.glob(os.path.join(shared, "data/tokenizers/*/"))):
    name = os.path.basename(folder.rstrip("/"))
    tokenizer = Tokenizer.from_str(gzip.open(os.path.join(folder, "tokenizer.json.gz"), "rt", encoding="utf-8").read())
    for path in sorted(glob.glob(os.path.join(shared, "data/lm_corpus/*.gz"))):
        with gzip.open(path, "rb") as f:
            lines = [line.decode("utf-8") for _, line in zip(range(2000), f)]
        hashes = []
        for start in range(0, len(lines), 100):
            digest = hashlib.sha256()
            for encoding in tokenizer.encode_batch_fast(lines[start : start + 100], add_special_tokens=False):
                digest.update(struct.pack(f"<{len(encoding.ids)}I", *encoding.ids))
            hashes.append(digest.hexdigest()[:16])
        result.setdefault(name, {})[os.path.basename(path)] = hashes
json.dump(result, sys.stdout, indent=0, sort_keys=True)
print()
