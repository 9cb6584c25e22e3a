"""The JSON part of a glTF 2.0 file: what trimesh would misread there, and a scene turned by it."""

import json
import struct

import numpy as np
from jaxtyping import Float

_HEADER = struct.Struct("<4sII")  # of the file: magic, version, length
_CHUNK = struct.Struct("<I4s")  # of a chunk: length, type
_COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def split_glb(data: bytes) -> tuple[dict, bytes]:
    """Returns the JSON of a binary glTF file, and the chunks that follow it.

    Raises:
        ValueError: it is no such file, or of another version than 2.
    """
    try:
        magic, version, _ = _HEADER.unpack_from(data)
        length, kind = _CHUNK.unpack_from(data, _HEADER.size)
    except struct.error as error:
        raise ValueError("it is cut short") from error
    if (magic, version, kind) != (b"glTF", 2, b"JSON"):
        raise ValueError("it is no binary glTF 2.0 file")
    start = _HEADER.size + _CHUNK.size
    document = json.loads(data[start : start + length])
    if not isinstance(document, dict):
        raise ValueError("its JSON is no object")
    return document, data[start + length :]


def joined_glb(document: dict, chunks: bytes) -> bytes:
    """Returns the file that `split_glb` takes apart."""
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 4)
    length = _HEADER.size + _CHUNK.size + len(content) + len(chunks)
    return _HEADER.pack(b"glTF", 2, length) + _CHUNK.pack(len(content), b"JSON") + content + chunks


def check_readable(data: bytes, file_type: str) -> None:
    """Makes sure that vertices and faces lie in a file, "glb" or "gltf", as trimesh reads them.

    Raises:
        ValueError: they lie in other files, are compressed, or kept in another way.
    """
    document = split_glb(data)[0] if file_type == "glb" else json.loads(data)
    if any(
        not each.get("uri", "data:").startswith("data:") for each in document.get("buffers", [])
    ):
        raise ValueError("it keeps its geometry in files beside it; save it as .glb, in one file")
    for name in _COMPRESSED:
        if name in document.get("extensionsRequired", ()):
            raise ValueError(f"its meshes are compressed ({name}); save it without compression")
    accessors = document.get("accessors", [])
    for mesh in document.get("meshes", []):
        for primitive in mesh["primitives"]:
            used = [primitive["attributes"].get("POSITION"), primitive.get("indices")]
            for accessor in (accessors[index] for index in used if index is not None):
                # Without a view of a buffer all its numbers are zero, by the standard.
                if "sparse" in accessor or "bufferView" not in accessor:
                    raise ValueError(
                        "vertices or faces are compressed or kept as differences (sparse); save it "
                        "without compression"
                    )


def moved_glb(data: bytes, matrix: Float[np.ndarray, "4 4"]) -> bytes | None:
    """Moves every scene of a binary glTF file by one more node; all else stays as it is.

    None where that cannot be: it has no scene, or two scenes share a part of their nodes.

    Raises:
        ValueError: as for `split_glb`.
    """
    document, chunks = split_glb(data)
    scenes = [scene for scene in document.get("scenes", []) if scene.get("nodes")]
    roots = {tuple(scene["nodes"]) for scene in scenes}
    if not scenes or len({node for nodes in roots for node in nodes}) < sum(map(len, roots)):
        return None
    added = {}
    for nodes in sorted(roots):  # a node has one parent
        added[nodes] = len(document["nodes"])
        document["nodes"].append({"matrix": matrix.T.ravel().tolist(), "children": list(nodes)})
    for scene in scenes:
        scene["nodes"] = [added[tuple(scene["nodes"])]]
    return joined_glb(document, chunks)
