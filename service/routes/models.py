"""Models: names, versions and aliases."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from service.deps import EngineDep, StoreDep
from service.engine.engine import Engine
from service.pages import listing
from service.schemas import AliasRequest, Listing, ModelView, ReferenceView, VersionView
from worker.errors import NotFound
from worker.names import NAME_PATTERN, is_id
from worker.store import Store
from worker.store.checkpoints import CheckpointCorrupt
from worker.store.models import Model
from worker.store.references import Reference, resolve

router = APIRouter(prefix="/models", tags=["models"])

AliasPath = Annotated[str, Path(pattern=NAME_PATTERN, description="a name such as prod")]


@router.get("")
def list_models(store: StoreDep, engine: EngineDep) -> Listing:
    """All models, by name."""
    return listing([_view(model, store, engine) for model in store.models.all()])


@router.get("/{reference}")
def get_model(
    reference: Annotated[
        str, Path(description="name; name:version or name@alias of a version; job id or job:step")
    ],
    store: StoreDep,
    engine: EngineDep,
) -> ModelView | VersionView | ReferenceView:
    """A model with its versions and aliases, one of its versions, or a checkpoint of a job."""
    asked = Reference.parse(reference)
    if is_id("job", asked.base):
        return ReferenceView.of(resolve(store, reference), engine.models.preparation)
    model = store.models.get(asked.base)
    version = asked.version(model)
    if version is None:
        return _view(model, store, engine)
    return VersionView.of(version, model, engine.models.preparation)


@router.delete("/{name}", status_code=204)
def delete_model(name: str, store: StoreDep) -> None:
    """Forget a model with its versions and aliases; after that its jobs can be deleted."""
    store.models.delete(name)


@router.put("/{name}/aliases/{alias}")
async def set_alias(
    request: Request,
    name: str,
    alias: AliasPath,
    body: AliasRequest,
    store: StoreDep,
    engine: EngineDep,
) -> ModelView:
    """Point an alias at a version; the next request already sees it.

    The version is loaded first, so one that cannot be loaded gets no requests. Nobody waits for it
    in this process later; other processes of the API load it at their first request.
    """
    resolved = await run_in_threadpool(resolve, store, f"{name}:{body.version}")
    await engine.run(request, resolved.checkpoint, lambda _: None)
    model = await run_in_threadpool(store.models.set_alias, name, alias, body.version)
    return await run_in_threadpool(_view, model, store, engine)


@router.delete("/{name}/aliases/{alias}")
def delete_alias(name: str, alias: AliasPath, store: StoreDep, engine: EngineDep) -> ModelView:
    """Remove an alias."""
    return _view(store.models.set_alias(name, alias, None), store, engine)


def _view(model: Model, store: Store, engine: Engine) -> ModelView:
    try:
        config = resolve(store, model.name).checkpoint.config()
    except (NotFound, CheckpointCorrupt):
        config = None
    return ModelView.of(model, config, engine.models.preparation)
