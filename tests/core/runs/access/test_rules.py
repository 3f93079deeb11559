"""Who a person is by their claims, and the rules that a server reads."""

import pytest

from core.errors import UserError
from core.runs.access.person import Person, person_of
from core.runs.access.rules import Rules, read_rules

ANN = Person(id="ann@example.org", name="Ann Lee")


def test_a_person_is_known_by_a_verified_email_in_small_letters():
    claims = {"sub": "17", "email": "Ann@Example.org", "email_verified": True, "name": "Ann Lee"}
    assert person_of(claims) == ANN


def test_an_email_that_the_provider_did_not_verify_is_not_believed():
    eve = person_of({"sub": "18", "email": "ann@example.org", "email_verified": False})
    assert eve.id == "18"


def test_a_person_without_an_email_is_known_by_the_providers_id():
    assert person_of({"sub": "19"}) == Person(id="19", name="19")


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": 5}, {"email": None, "name": "Ann"}])
def test_claims_that_name_nobody_are_refused(claims):
    with pytest.raises(UserError, match="who you are"):
        person_of(claims)


def test_without_settings_there_are_no_rules():
    assert read_rules({}, {}) == Rules()


def test_a_table_and_variables_give_the_same_rules():
    table = {"admins": ["Chief@example.org"], "read_only": True, "most_runs": 2, "free_gb": 0.5}
    variables = {
        "SECATEUR_ADMINS": " chief@example.org ,",
        "SECATEUR_READ_ONLY": "1",
        "SECATEUR_MOST_RUNS": "2",
        "SECATEUR_FREE_GB": "0.5",
    }
    assert read_rules(table, {}) == read_rules({}, variables)
    assert read_rules(table, {}).admins == ("chief@example.org",)


def test_a_variable_wins_over_the_table():
    assert read_rules({"most_runs": 2}, {"SECATEUR_MOST_RUNS": "3"}).most_runs == 3
    assert read_rules({"most_runs": 2}, {"SECATEUR_MOST_RUNS": ""}).most_runs == 2


@pytest.mark.parametrize(
    ("table", "variables", "place"),
    [
        ({"readonly": True}, {}, "readonly in"),
        ({"admins": 5}, {}, "admins in"),
        ({"most_runs": 0}, {}, "most_runs in"),
        ({}, {"SECATEUR_READ_ONLY": "perhaps"}, "SECATEUR_READ_ONLY"),
        ({}, {"SECATEUR_FREE_GB": "-1"}, "SECATEUR_FREE_GB"),
    ],
)
def test_a_wrong_setting_is_named_and_never_ignored(table, variables, place):
    with pytest.raises(UserError, match=place):
        read_rules(table, variables)


@pytest.mark.parametrize(
    ("members", "is_member"),
    [
        ((), True),
        (("*@example.org",), True),
        (("ann@example.org", "bob@example.org"), True),
        (("*@example.com",), False),
        (("*@org",), False),
    ],
)
def test_members_are_people_or_whole_domains(members, is_member):
    assert Rules(members=members).is_member(ANN) is is_member


def test_an_admin_is_a_member():
    rules = Rules(members=("bob@example.org",), admins=("ann@example.org",))
    assert rules.is_member(ANN)
