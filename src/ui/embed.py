#!/usr/bin/env python3
"""embed.py FOLDER BLOB TABLE: the files of FOLDER, and their gzip forms where those are smaller, in
one BLOB, and a C++ source that includes it and lists them sorted by path."""
import gzip
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


def main(folder: str, blob_path: str, table_path: str) -> None:
    root = pathlib.Path(folder)
    blob = bytearray()
    rows = []
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        # "/" is the page itself; what lies in assets/ has a hash of its content in its name.
        name = "/" + file.relative_to(root).as_posix()
        path = "/" if name == "/index.html" else name
        data = file.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        if len(packed) > 0.9 * len(data):
            packed = b""
        immutable = "true" if name.startswith("/assets/") else "false"
        etag = hashlib.sha256(data).hexdigest()[:32]
        begin = len(blob)
        blob += data + packed
        rows.append((path, f'    {{"{path}", "{TYPES[file.suffix]}", {begin}, {len(data)}, {len(packed)}, '
                           f'"\\"{etag}\\"", {immutable}}},'))
    rows.sort()
    pathlib.Path(blob_path).write_bytes(blob)
    # The digest makes this file change with the blob, for whatever compares only sources.
    pathlib.Path(table_path).write_text(f"""// Written by embed.py. Blob: {hashlib.sha256(blob).hexdigest()}
#include "ui/asset_table.h"

asm(".section .rodata\\n"
    ".global hadal_ui_blob\\n"
    ".balign 16\\n"
    "hadal_ui_blob:\\n"
    ".incbin \\"{blob_path}\\"\\n"
    ".byte 0\\n"
    ".text\\n");

namespace hadal::ui {{
namespace {{
constexpr AssetRow kRows[] = {{
{chr(10).join(row for _, row in rows)}
}};
}}  // namespace

std::span<const AssetRow> AssetRows() {{ return kRows; }}

}}  // namespace hadal::ui
""")


if __name__ == "__main__":
    main(*sys.argv[1:])
