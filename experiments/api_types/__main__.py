"""`make api-types`: writes docs/recstage.d.ts, and what follows from the OpenAPI document in `recstage.client`."""

from __future__ import annotations

import sys

from experiments.api_types.document import openapi
from experiments.api_types.python_client import methods, models
from experiments.api_types.typescript import typescript
from recstage.config import root

TYPESCRIPT = "docs/recstage.d.ts"
CLIENT = "src/recstage/client"


def written() -> dict[str, str]:
    """Each file, by its path in the repository, as the document wants it now."""
    document = openapi()
    return {
        TYPESCRIPT: typescript(document),
        f"{CLIENT}/models.py": models(document),
        f"{CLIENT}/operations.py": methods(document, asynchronous=False),
        f"{CLIENT}/async_operations.py": methods(document, asynchronous=True),
    }


def main() -> int:
    """Write what changed; returns the exit status."""
    for name, text in written().items():
        path = root() / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {name}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
