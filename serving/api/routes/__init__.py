"""The routes, one router a resource; `serving.app` includes all that are listed here, in this order."""

from fastapi import APIRouter

from serving.api.routes import (
    feedback,
    health,
    interactions,
    items,
    model,
    predict,
    recommendations,
    recommended_users,
    similar_items,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    recommendations.router,
    predict.router,
    recommended_users.router,
    similar_items.router,
    interactions.router,
    feedback.router,
    users.router,
    items.router,  # last of /api/items: an item's id may hold slashes
    model.router,
    health.router,
)
