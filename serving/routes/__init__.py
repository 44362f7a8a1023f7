"""The routes, one router a resource; `serving.app` includes all that are listed here, in this order."""

from fastapi import APIRouter

from serving.routes import audience, feedback, health, interactions, items, model, predict, recommendations, users

ROUTERS: tuple[APIRouter, ...] = (
    recommendations.router,
    predict.router,
    audience.router,
    interactions.router,
    feedback.router,
    users.router,
    items.router,  # last of /api/items: an item's id may hold slashes
    model.router,
    health.router,
)
