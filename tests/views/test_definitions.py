"""What a ViewDefinition may not be: each refused with the view, the place and the rule in the message."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.validation.node import Model
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import View

ID = {"name": "id", "path": "id", "type": "id"}
FAMILY = {"name": "family", "path": "name.family.first()", "type": "string"}


def view(*selects: Any, **more: Any) -> dict[str, Any]:
    return {"name": "people", "resource": "Patient", "select": list(selects), **more}


def column(**changed: Any) -> dict[str, Any]:
    return {"column": [{**ID, **changed}]}


def constant(**value: Any) -> dict[str, Any]:
    return view({"column": [{"name": "x", "path": "%c"}]}, constant=[{"name": "c", **value}])


REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing at all": ([], "ViewDefinition", "structure"),
    "another resource": ({"resourceType": "Patient"}, "resourceType", "structure"),
    "no select": (view(), "select", "structure"),
    "an empty select": (view({}), "select[0]", "structure"),
    "a select that is a list": ({**view(), "select": [[]]}, "select", "structure"),
    "no resource": ({"select": [column()]}, "resource", "structure"),
    "an abstract resource": (view(column()) | {"resource": "DomainResource"}, "resource", "structure"),
    "a resource of nowhere": (view(column()) | {"resource": "Pateint"}, "resource", "structure"),
    "a state that is none": (view(column(), status="done"), "status", "structure"),
    "an element misspelt": (view({"forEach": "name", "columns": []}), "select[0].columns", "structure"),
    "a column's element misspelt": (view(column(paht="id")), "select[0].column[0].paht", "structure"),
    "two ways to step": (view({"forEach": "name", "repeat": ["link"], **column()}), "select[0]", "structure"),
    "repeat of one text": (view({"repeat": "link", **column()}), "select[0].repeat", "structure"),
    "a view's name with a dash": (view(column(), name="my-view"), "name", "sql-name"),
    "a column's name with a digit first": (view(column(name="1st")), "select[0].column[0].name", "sql-name"),
    "a column without a path": (view(column(path=None)), "select[0].column[0].path", "structure"),
    "collection in quotes": (view(column(collection="true")), "select[0].column[0].collection", "structure"),
    "a type of nowhere": (view(column(type="text")), "select[0].column[0].type", "type"),
    "a column twice": (
        view(column(), {"select": [column()]}),
        "select[1].select[0].column[0].name",
        "duplicate-column",
    ),
    "a path misspelt": (view(column(path="name.famly")), "select[0].column[0].path", "fhirpath"),
    "a path below a forEach misspelt": (
        view({"forEach": "name", **column(path="city")}),
        "select[0].column[0].path",
        "fhirpath",
    ),
    "a path that cannot be read": (view({"forEach": "name[", **column()}), "select[0].forEach", "fhirpath"),
    "a function of nowhere": (view(column(path="id.length(")), "select[0].column[0].path", "fhirpath"),
    "a function that looks elsewhere": (
        view(column(path="managingOrganization.resolve().id")),
        "select[0].column[0].path",
        "fhirpath",
    ),
    "a key of no type": (
        view(column(path="managingOrganization.getReferenceKey('Organization')")),
        "select[0].column[0].path",
        "fhirpath",
    ),
    "too many types": (
        view(column(path="managingOrganization.getReferenceKey(Organization, Patient)")),
        "select[0].column[0].path",
        "fhirpath",
    ),
    "an undeclared constant": (view(column(path="id = %nobody")), "select[0].column[0].path", "unknown-constant"),
    "a constant without value": (constant(), "constant[0]", "constant"),
    "a constant with two": (constant(valueCode="a", valueString="a"), "constant[0]", "constant"),
    "a constant of no type": (constant(valueQuantity={}), "constant[0]", "constant"),
    "a number in quotes": (constant(valueInteger="1"), "constant[0]", "constant"),
    "a truth for a number": (constant(valueInteger=True), "constant[0]", "constant"),
    "a day that is none": (constant(valueDate="soon"), "constant[0]", "constant"),
    "a constant's name with a dash": (
        view(column(), constant=[{"name": "a-b", "valueCode": "x"}]),
        "constant[0].name",
        "sql-name",
    ),
    "one constant twice": (
        view(column(), constant=[{"name": "a", "valueCode": "x"}] * 2),
        "constant[1].name",
        "constant",
    ),
    "a where that counts": (
        view(column(), where=[{"path": "name.count()"}, {"path": "name"}]),
        "where[1].path",
        "where-boolean",
    ),
    "a union of other columns": (
        view({"unionAll": [{"column": [ID]}, {"column": [FAMILY]}]}),
        "select[0].unionAll[1]",
        "union-columns",
    ),
    "a union in another order": (
        view({"unionAll": [{"column": [ID, FAMILY]}, {"column": [FAMILY, ID]}]}),
        "select[0].unionAll[1]",
        "union-columns",
    ),
    "a union of other types": (
        view({"unionAll": [column(), column(type="string")]}),
        "select[0].unionAll[1].column[0]",
        "union-columns",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_view_that_is_wrong_is_refused_with_its_place_and_rule(case: str, model: Model) -> None:
    source, place, rule = REFUSED[case]
    with pytest.raises(ViewError) as refused:
        View.of(source, model, "mine")
    assert (refused.value.place, refused.value.rule) == (place, rule)
    name = source.get("name", "mine") if isinstance(source, dict) else "mine"
    assert str(refused.value).startswith(f"view {name}, {place}: ") or rule == "sql-name"
    assert str(refused.value).endswith(f"[{rule}]")


def test_selects_nested_without_end_are_refused(model: Model) -> None:
    deep: dict[str, Any] = column()
    for _ in range(40):
        deep = {"select": [deep]}
    with pytest.raises(ViewError, match="nested deeper than 32"):
        View.of(view(deep), model)


def test_what_only_people_read_may_stand_everywhere(model: Model) -> None:
    said = view({**column(description="its id", tag=[{"name": "a", "value": "b"}]), "description": "x", "_forEach": {}})
    assert [field.description for field in View.of(said, model).fields] == ["its id"]


def test_an_expression_nested_too_deep_is_refused_and_does_not_crash(model: Model) -> None:
    with pytest.raises(ViewError, match="too deep"):
        View.of(view(column(path="(" * 5000 + "id" + ")" * 5000)), model)
    with pytest.raises(ViewError, match="too deep"):
        View.of(view(column(path="id" + ".first()" * 5000)), model)
