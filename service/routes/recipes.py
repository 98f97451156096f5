"""Recipes, and the JSON Schema of everything that can be set."""

from functools import cache
from typing import Any

from fastapi import APIRouter

from ganmodels.config import TrainConfig
from ganmodels.recipes import RECIPES
from service.problems import KINDS, Problem
from worker.errors import NotFound

router = APIRouter(tags=["reference"])


@router.get("/recipes")
def list_recipes() -> dict[str, Any]:
    """All recipes with their complete settings, and the schema of a configuration."""
    data = [{"name": name, **recipe.model_dump(mode="json")} for name, recipe in RECIPES.items()]
    return {"object": "list", "data": data, "config_schema": _schema()}


@cache
def _schema() -> dict[str, Any]:
    return TrainConfig.model_json_schema()


@router.get("/recipes/{name}")
def get_recipe(name: str) -> dict[str, Any]:
    """One recipe with its complete settings."""
    if name not in RECIPES:
        raise NotFound.of("recipe", name, RECIPES, "/recipes")
    return {"name": name, **RECIPES[name].model_dump(mode="json")}


@router.get("/problems/{code}")
def get_problem(code: str) -> dict[str, Any]:
    """What a problem's code means; ``type`` of every problem document leads here."""
    if code not in KINDS:
        raise Problem("not-found", "this code is explained by the detail of its problem document")
    return {"code": code, "status": KINDS[code].status, "title": KINDS[code].title}
