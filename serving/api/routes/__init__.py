"""The routes: a folder a subject, a module a resource; `serving.app` includes all that are listed here, in order."""

from fastapi import APIRouter

from serving.api.routes import user_patterns, user_statistics, users
from serving.api.routes.catalogue import categories, items
from serving.api.routes.classifier import classify, labels
from serving.api.routes.events import feedback, interactions
from serving.api.routes.operations import health, model, overview, registry_changes, session
from serving.api.routes.recommendations import (
    batch,
    for_user,
    predict,
    rank,
    recommended_users,
    session_list,
    similar_items,
    stream,
    trends,
)
from serving.api.routes.rules import rules, versions

ROUTERS: tuple[APIRouter, ...] = (
    for_user.router,
    stream.router,
    session_list.router,
    batch.router,
    predict.router,
    rank.router,
    recommended_users.router,
    similar_items.router,
    trends.router,
    interactions.router,
    feedback.router,
    users.router,
    user_statistics.router,
    user_patterns.router,
    categories.router,
    items.router,  # last of /api/items: an item's id may hold slashes
    classify.router,
    labels.router,
    versions.router,  # before the rules: "versions" is no name of one
    rules.router,
    model.router,
    session.router,
    overview.router,
    registry_changes.router,
    health.router,
)
