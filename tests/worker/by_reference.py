"""Imports in tests: asked for, and done by the real supervisor."""

import dataclasses
from typing import Any

from pith.imports import ModelImport
from pith.resources import Model
from store.settings import Settings
from tests.store.shop import Shop
from worker import supervise
from worker.workplace import Workplace


def allowing(place: Workplace, **options: Any) -> Workplace:
    shared = {name: options.pop(name) for name in list(options) if name in Settings.model_fields}
    settings = place.settings.model_copy(update=shared)
    return dataclasses.replace(place, settings=settings, options=place.options.model_copy(update=options))


def wanted(shop: Shop, source: str, **said: Any) -> Model:
    asked = ModelImport(source=source, **said)
    return shop.models.create(asked.called(), None, 0, asked.given(), imported=asked)


def imported(shop: Shop, place: Workplace, source: str, **said: Any) -> Model:
    model = wanted(shop, source, **said)
    supervise.run(place, model.check)
    return shop.models.get(model.id)
