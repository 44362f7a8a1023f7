"""The routes, one router a resource; `serving.app` includes all that are listed here."""

from fastapi import APIRouter

from serving.routes import health, model, predict, recommendations

ROUTERS: tuple[APIRouter, ...] = (recommendations.router, predict.router, model.router, health.router)
