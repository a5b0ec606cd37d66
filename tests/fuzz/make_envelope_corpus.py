"""Writes the seeds of fuzz_envelope into corpus/envelope from tests/vectors/frames.json:
`python3 tests/fuzz/make_envelope_corpus.py`.
"""

import json
import re
from pathlib import Path


def main() -> None:
    here = Path(__file__).resolve().parent
    folder = here / "corpus" / "envelope"
    folder.mkdir(parents=True, exist_ok=True)
    vectors = json.loads((here.parent / "vectors" / "frames.json").read_text(encoding="utf-8"))
    for kind in ("good", "malformed"):
        for vector in vectors[kind]:
            name = re.sub(r"\W+", "_", f"{kind} {vector['name']}")
            (folder / name).write_bytes(bytes.fromhex(vector["hex"]))


if __name__ == "__main__":
    main()
