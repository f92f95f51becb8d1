"""Files and batches: what clients leave with a provider."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.upstream_wire import Answer, Ask, Behaviour, Json, Piece, refused, told

NOW = 1700000000


@dataclass
class Files:
    """What one provider keeps of its clients."""

    files: dict[str, Json] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, ask: Ask, _: Behaviour) -> Answer:
        match ask.route:
            case "POST files":
                return self._upload(ask)
            case "GET files":
                purpose = ask.query.get("purpose")
                rows = [file for file in self.files.values() if purpose in (None, file["purpose"])]
                return _page(rows, ask)
            case "POST batches":
                return self._batch(ask)
            case "GET batches":
                return _page(list(self.batches.values()), ask)
        return self._one(ask)

    def _one(self, ask: Ask) -> Answer:
        kept = (self.files | self.batches).get(ask.item)
        if kept is None:
            return refused(404, f"No such object: {ask.item}", param="id")
        match ask.route:
            case "GET files/{id}" | "GET batches/{id}":
                return told(200, kept)
            case "GET files/{id}/content":
                kind = ("content-type", "application/octet-stream")
                return Answer(200, [kind], [Piece(self.contents[ask.item])])
            case "DELETE files/{id}":
                del self.files[ask.item], self.contents[ask.item]
                return told(200, {"id": ask.item, "object": "file", "deleted": True})
            case "POST batches/{id}/cancel":
                self.batches[ask.item] = kept | {"status": "cancelling", "cancelling_at": NOW + 9}
                return told(200, self.batches[ask.item])
        return refused(405, "Not allowed to do that.")

    def _upload(self, ask: Ask) -> Answer:
        file = next((part for part in ask.parts if part.name == "file"), None)
        if file is None or file.filename is None:
            return refused(400, "'file' is a required property")
        if not ask.body.get("purpose"):
            return refused(400, "'purpose' is a required property")
        return told(200, self._keep(file.filename, str(ask.body["purpose"]), file.data))

    def _keep(self, name: str, purpose: str, data: bytes) -> Json:
        id_ = f"file-{next(self.numbers)}"
        row: Json = {"id": id_, "object": "file", "bytes": len(data), "created_at": NOW}
        self.files[id_] = row | {"filename": name, "purpose": purpose, "status": "processed"}
        self.contents[id_] = data
        return self.files[id_]

    def _batch(self, ask: Ask) -> Answer:
        given = ask.body.get("input_file_id")
        if given not in self.files:
            return refused(400, f"Invalid file id: {given}", param="input_file_id")
        id_ = f"batch_{next(self.numbers)}"
        lines = self.contents[given].count(b"\n")
        output = self._keep(f"{id_}_output.jsonl", "batch_output", self.contents[given])
        row: Json = {"id": id_, "object": "batch", "endpoint": ask.body.get("endpoint"), "errors": None}
        row |= {"input_file_id": given, "completion_window": ask.body.get("completion_window", "24h")}
        row |= {"status": "completed", "created_at": NOW, "completed_at": NOW + 5}
        row |= {"output_file_id": output["id"], "error_file_id": None, "metadata": ask.body.get("metadata")}
        row |= {"request_counts": {"total": lines, "completed": lines, "failed": 0}}
        self.batches[id_] = row
        return told(200, row)


def _page(rows: list[Json], ask: Ask) -> Answer:
    """A page behind the id `after`, of `limit` rows."""
    ids = [row["id"] for row in rows]
    if (after := ask.query.get("after")) in ids:
        rows = rows[ids.index(after) + 1 :]
    limit = int(ask.query.get("limit", "100"))
    page = rows[:limit]
    body: Json = {"object": "list", "data": page, "has_more": len(rows) > limit}
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    return told(200, body | ends)
