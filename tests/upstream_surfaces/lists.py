"""Embeddings, moderations, rerank: lists of numbers about the input."""

import base64
import struct

from tests.upstream_wire import Answer, Ask, Behaviour, Json, refused, whole

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def embeddings(ask: Ask, behaviour: Behaviour) -> Answer:
    """One vector per text or list of token ids: 0.25, -0.5, its index, and zeros."""
    given = ask.body.get("input")
    count = len(given) if isinstance(given, list) and not _is_ids(given) else 1
    length = ask.body.get("dimensions") or 3
    rows = []
    for index in range(count):
        vector = ([0.25, -0.5, index] + [0.0] * length)[:length]
        packed = base64.b64encode(struct.pack(f"<{length}f", *vector)).decode()
        said = packed if ask.body.get("encoding_format") == "base64" else vector
        rows.append({"object": "embedding", "index": index, "embedding": said})
    usage = {"prompt_tokens": behaviour.prompt_tokens, "total_tokens": behaviour.prompt_tokens}
    body = {"object": "list", "data": rows, "model": ask.model, "usage": usage}
    return whole(body, behaviour, usage)


def _is_ids(given: list[object]) -> bool:
    return bool(given) and all(isinstance(each, int) for each in given)


def moderations(ask: Ask, behaviour: Behaviour) -> Answer:
    """Flags what holds the word "kill", as violence."""
    given = ask.body.get("input")
    if isinstance(given, list) and given and isinstance(given[0], dict):
        texts = [" ".join(str(part.get("text", "")) for part in given)]  # one input of several parts
    else:
        texts = [str(text) for text in given] if isinstance(given, list) else [str(given)]
    results = []
    for text in texts:
        bad = {"violence"} if "kill" in text else set()
        results.append(
            {
                "flagged": bool(bad),
                "categories": {name: name in bad for name in CATEGORIES},
                "category_scores": {name: 0.9 if name in bad else 0.001 for name in CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
            }
        )
    return whole({"id": "modr-1", "model": ask.model, "results": results}, behaviour, None)


def rerank(ask: Ask, behaviour: Behaviour) -> Answer:
    """The documents by how many words of the query they hold; usage in Jina's and in Cohere's words."""
    documents = ask.body.get("documents")
    if not isinstance(documents, list) or not isinstance(ask.body.get("query"), str):
        return refused(400, "query and documents are required")
    words = set(ask.body["query"].lower().split())
    rows: list[Json] = []
    for index, document in enumerate(documents):
        text = document if isinstance(document, str) else str(document.get("text", ""))
        score = len(words & set(text.lower().split())) / max(len(words), 1)
        row: Json = {"index": index, "relevance_score": score}
        if ask.body.get("return_documents"):
            row["document"] = {"text": text}
        rows.append(row)
    rows.sort(key=lambda row: -row["relevance_score"])
    tokens = behaviour.prompt_tokens
    body: Json = {"id": "rerank-1", "model": ask.model, "results": rows[: ask.body.get("top_n")]}
    body |= {"usage": {"total_tokens": tokens}, "meta": {"tokens": {"input_tokens": tokens}}}
    return whole(body, behaviour, {"total_tokens": tokens})
