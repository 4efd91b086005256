"""What views make of resources: the specification's parts, each in the smallest case that shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhirbridge.validation.node import Model
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import MOST_ROWS, View
from tests.views.conftest import Table

ADA = {
    "resourceType": "Patient",
    "id": "ada",
    "active": True,
    "birthDate": "1970-06",
    "name": [{"use": "official", "family": "A", "given": ["x", "y"]}, {"family": "B"}],
    "contact": [{"telecom": [{"value": "1"}, {"value": "2"}]}],
    "managingOrganization": {"reference": "http://x.example/fhir/Organization/o1/_history/3"},
    "link": [{"other": {"reference": "#inside"}, "type": "seealso"}],
}
BOB = {"resourceType": "Patient", "id": "bob"}
RESULT = {
    "resourceType": "Observation",
    "id": "r",
    "status": "final",
    "code": {"text": "t"},
    "valueQuantity": {"value": Decimal("5.50"), "unit": "g"},
    "component": [{"code": {"text": "c"}, "valueInteger": 3}],
}
FORM = {
    "resourceType": "QuestionnaireResponse",
    "id": "q",
    "status": "completed",
    "item": [{"linkId": "1", "item": [{"linkId": "1.1", "item": [{"linkId": "1.1.1"}]}, {"linkId": "1.2"}]}],
}


def patients(*selects: Any, **more: Any) -> dict[str, Any]:
    return {"resource": "Patient", "select": list(selects), **more}


def col(path: str, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"column": [{"name": name, "path": path, **more}]}


def test_resources_of_other_types_and_those_a_where_leaves_out_make_no_row(table: Table) -> None:
    assert table(patients(col("id")), ADA, RESULT, BOB) == [{"x": "ada"}, {"x": "bob"}]
    assert table(patients(col("id"), where=[{"path": "active"}]), ADA, BOB) == [{"x": "ada"}]
    assert table(patients(col("id"), where=[{"path": "active.not()"}]), ADA, BOB) == []


def test_selects_side_by_side_multiply_and_keep_their_order(table: Table) -> None:
    rows = table(
        patients(col("id"), {"forEach": "name", **col("family", "f")}, {"forEach": "name", **col("use", "u")}), ADA
    )
    assert [tuple(row.values()) for row in rows] == [
        ("ada", "A", "official"),
        ("ada", "A", None),
        ("ada", "B", "official"),
        ("ada", "B", None),
    ]


def test_for_each_drops_what_has_none_and_for_each_or_null_keeps_it_with_empty_columns(table: Table) -> None:
    inner = {**col("family", "f"), "select": [{"forEach": "given", **col("$this", "g")}]}
    dropping, keeping = (patients(col("id"), {step: "name", **inner}) for step in ("forEach", "forEachOrNull"))
    assert [row["g"] for row in table(dropping, ADA, BOB)] == ["x", "y"]
    assert table(keeping, BOB) == [{"x": "bob", "f": None, "g": None}]


def test_a_union_puts_its_branches_one_after_the_other_and_keeps_what_is_there_twice(table: Table) -> None:
    union = {
        "unionAll": [{"forEach": "name", **col("family")}, {"forEach": "contact.telecom", **col("value")}, col("id")]
    }
    assert [row["x"] for row in table(patients(union), ADA)] == ["A", "B", "1", "2", "ada"]


def test_repeat_goes_down_every_level_each_before_what_lies_below_it(table: Table) -> None:
    form = {"resource": "QuestionnaireResponse", "select": [{"repeat": ["item"], **col("linkId")}]}
    assert [row["x"] for row in table(form, FORM)] == ["1", "1.1", "1.1.1", "1.2"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("getResourceKey()", "ada"),
        ("managingOrganization.getReferenceKey()", "o1"),
        ("managingOrganization.getReferenceKey(Organization)", "o1"),
        ("managingOrganization.getReferenceKey(FHIR.Organization)", "o1"),
        ("managingOrganization.getReferenceKey(Patient)", None),
        ("link.other.getReferenceKey()", None),
        ("birthDate.lowBoundary()", "1970-06-01"),
        ("birthDate.highBoundary()", "1970-06-30"),
        ("name.given.join('+')", "x+y"),
        ("name.where(family = 'B').given.join()", ""),
        ("%ucum", "http://unitsofmeasure.org"),
        ("%resource.id", "ada"),
        ("name.given.first() & %resource.id", "xada"),
        ("{}", None),
        ("1.50", Decimal("1.50")),
    ],
)
def test_functions_and_variables_of_views_work(path: str, found: Any, table: Table) -> None:
    assert table(patients(col(path)), ADA) == [{"x": found}]


@pytest.mark.parametrize(
    ("element", "value", "path"),
    [
        ("valueString", "A", "name.where(family = %c).exists()"),
        ("valueCode", "official", "name.where(use = %c).exists()"),
        ("valueInteger", 1, "name[%c].family = 'B'"),
        ("valueDecimal", Decimal("1.5"), "name.count() > %c"),
        ("valueBoolean", True, "active = %c"),
        ("valueDate", "1970-07", "birthDate < %c"),
        ("valueDateTime", "1970-07-01T00:00:00Z", "@1970-06-30T23:59:59Z < %c"),
        ("valueTime", "12:00:00", "@T11:00:00 < %c"),
        ("valueUri", "urn:x", "%c = 'urn:x'"),
    ],
)
def test_a_constant_is_what_its_type_says(element: str, value: Any, path: str, table: Table) -> None:
    view = patients(col("id"), constant=[{"name": "c", element: value}], where=[{"path": path}])
    assert table(view, ADA) == [{"x": "ada"}]


def test_decimals_keep_their_digits_also_where_a_caller_read_them_as_floats(table: Table) -> None:
    view = {"resource": "Observation", "select": [col("value.ofType(Quantity).value", type="decimal")]}
    assert str(table(view, RESULT)[0]["x"]) == "5.50"
    assert str(table(view, RESULT | {"valueQuantity": {"value": 5.5}})[0]["x"]) == "5.5"


def test_a_collection_is_a_list_also_of_one_and_of_none(table: Table) -> None:
    given = col("name.given", collection=True)
    assert [row["x"] for row in table(patients(given), ADA, BOB)] == [["x", "y"], []]
    official = col("name.where(use = 'official').family", collection=True)
    assert table(patients(official), ADA) == [{"x": ["A"]}]


def test_an_element_that_is_no_primitive_comes_whole_where_the_column_says_so(table: Table) -> None:
    assert table(patients(col("name[1]", type="HumanName")), ADA) == [{"x": {"family": "B"}}]


@pytest.mark.parametrize(
    ("column", "rule", "says"),
    [
        (col("name.family"), "several-values", "finds 2 values"),
        (col("name.family.first()", type="boolean"), "value-type", "no boolean"),
        (col("active", type="string"), "value-type", "no string"),
        (col("name.first()", type="string"), "value-type", "no string"),
        (col("name.family = 'A'", type="boolean"), "", ""),
        (col("name.first().type()"), "value-type", "answer of FHIRPath's own"),
        (col("name.family.lower()"), "fhirpath", "one item is needed"),
        (col("id.getResourceKey()"), "fhirpath", "is for resources"),
        (col("name.getReferenceKey()"), "fhirpath", "is for references"),
    ],
)
def test_what_a_column_cannot_hold_is_an_error_that_names_the_resource(
    column: Any, rule: str, says: str, table: Table
) -> None:
    if not rule:
        assert table(patients(column), ADA) == [{"x": False}]
        return
    with pytest.raises(ViewError, match=says) as refused:
        table(patients(column), ADA)
    assert refused.value.rule == rule
    assert "select[0].column[0] x: Patient/ada: " in str(refused.value)


def test_what_stands_in_a_resource_never_stands_in_an_error(table: Table) -> None:
    for path in ("name.family.first() < 3", "name.skip(name.family.first())", "name.family.first().abs()"):
        with pytest.raises(ViewError) as refused:
            table(patients(col(path)), ADA | {"name": [{"family": "Lovelace"}]})
        assert "Lovelace" not in str(refused.value)


def test_a_where_that_turns_out_to_be_no_boolean_is_an_error_not_a_row(table: Table) -> None:
    with pytest.raises(ViewError, match=r"where\[0\].*Patient/ada.*where-boolean"):
        table(patients(col("id"), where=[{"path": "name.family.first().trim()"}]), BOB, ADA)


def test_selects_cannot_multiply_without_end(table: Table) -> None:
    many = ADA | {"name": [{"family": str(n)} for n in range(int(MOST_ROWS ** (1 / 3)) + 1)]}
    selects = [{"forEach": "name", **col("family", name)} for name in ("a", "b", "c")]
    with pytest.raises(ViewError, match="more than 100,000 rows"):
        table(patients(*selects), many)


def test_a_repeat_that_does_not_end_is_stopped(table: Table) -> None:
    with pytest.raises(ViewError, match="repeat does not end"):
        table(patients({"repeat": ["$this"], **col("id")}), ADA)


def test_a_column_without_a_type_gets_the_one_its_path_finds(model: Model) -> None:
    paths = {"active": "boolean", "birthDate": "date", "name.count()": "", "name.given": "string", "1": "integer"}
    view = View.of(patients(*(col(path, f"c{n}") for n, path in enumerate(paths))), model)
    assert [field.type for field in view.fields] == list(paths.values())


def test_a_type_may_be_told_by_its_url(model: Model) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/date"
    view = View.of(patients(col("birthDate", type=url), col("id", "y", type="System.String")), model)
    assert [(field.type, field.family) for field in view.fields] == [("date", "text"), ("string", "text")]


def test_a_view_keeps_nothing_of_one_resource_for_the_next(table: Table) -> None:
    view = patients({"forEachOrNull": "name", **col("$this.family & %resource.id")})
    assert table(view, ADA, BOB, ADA) == [{"x": "Aada"}, {"x": "Bada"}, {"x": None}, {"x": "Aada"}, {"x": "Bada"}]
