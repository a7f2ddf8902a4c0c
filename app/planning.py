"""What a job would do, from what the checks of its inputs have learnt."""

from app.service import Service
from pith.errors import PithError
from pith.job import JobSpec
from pith.plan import Plan, plan
from pith.resources import Dataset, Model
from store.workers import Workers, missing


def planned(service: Service, spec: JobSpec) -> Plan:
    """
    Raises:
        PithError: ``not_found``.
    """
    dataset = None if spec.dataset is None else service.datasets.get(spec.dataset)
    found = plan(spec, service.models.get(spec.model), dataset, _others(service, spec))
    lacks = (missing(spec.device),) if Workers(service.db).lacks(spec.device) else ()
    return found.model_copy(update={"notes": (*found.notes, *lacks)})


def refuse_impossible(service: Service, spec: JobSpec) -> None:
    """
    Raises:
        PithError: the first problem of the plan, with the places of all.
    """
    spec.check()
    problems = planned(service, spec).problems
    if problems:
        errors = tuple(error for problem in problems for error in problem.errors)
        raise PithError.of(problems[0].model_copy(update={"errors": errors}))


def _others(service: Service, spec: JobSpec) -> dict[str, Model | Dataset]:
    models = {id: service.models.get(id) for id in spec.models()}
    return {**models, **{id: service.datasets.get(id) for id in spec.datasets()}}
