"""The peer of `throughput`: a bare FastAPI route over NumPy, as one writes it in an afternoon.

It has the same ALS factors, leaves out what the user has seen and answers with ids, titles and scores; it has no live
history, authentication, limits, metrics, impressions, fallback or second version. What the service does beside that is
what `throughput` measures against it.

    python -m experiments.benchmarks.bare_route BUNDLE PORT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException

from recstage import bundle
from recstage.models.factorization.als import ALS


def bare_app(model: ALS) -> FastAPI:
    """One route, `GET /recommendations?user_id=&limit=`, and `GET /ping`."""
    train = model.train_
    user_factors, item_factors = model.user_factors_, model.item_factors_
    indptr, seen = train.indptr, train.item_index
    user_index = {user: index for index, user in enumerate(train.users.ids.tolist())}
    item_ids = train.items.ids.tolist()
    titles = [str(title) for title in model.catalogue_.titles]
    app = FastAPI()

    @app.get("/recommendations")
    async def recommendations(user_id: str, limit: int = 10) -> dict:
        index = user_index.get(user_id)
        if index is None:
            raise HTTPException(404)
        scores = item_factors @ user_factors[index]
        scores[seen[indptr[index] : indptr[index + 1]]] = -np.inf
        best = np.argpartition(-scores, limit)[:limit]
        best = best[np.argsort(-scores[best])]
        items = [{"item_id": item_ids[item], "title": titles[item], "score": float(scores[item])} for item in best]
        return {"user_id": user_id, "items": items}

    @app.get("/ping")
    async def ping() -> dict:
        return {}

    return app


def main(folder: str, port: str) -> None:
    """Serve the ALS model of a bundle on a port of the loopback, one worker."""
    model = bundle.load(Path(folder)).model
    if not isinstance(model, ALS):
        raise SystemExit(f"{folder} holds {model.name}; the bare route serves als only")
    uvicorn.run(bare_app(model), host="127.0.0.1", port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
