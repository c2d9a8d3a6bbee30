"""A policy document is read strictly: each slip is named with its place, what was found and what was expected."""

from __future__ import annotations

import pytest

from imprimatur.core.errors import BadInput
from imprimatur.policy.document import parse, policy_of
from imprimatur.policy.engine import Engine


def test_a_good_document_is_read(small: str) -> None:
    policy = parse(small)
    assert (policy.name, policy.version, policy.environment) == ("small", 1, "production")
    assert [rule.id for rule in policy.rules] == ["look-alikes", "complete"]
    assert policy.params == {"similarity_max": 0.02, "images_min": 100}


def test_a_stored_document_keeps_digest_and_number_types(small: str) -> None:
    policy = parse(small.replace("similarity_max: 0.02", "similarity_max: 1.0"))
    again = policy_of({**policy.document, "params": {"similarity_max": 1, "images_min": 100}})  # as JSON gives it back
    assert again.digest == policy.digest
    assert isinstance(again.params["similarity_max"], float)
    assert isinstance(again.params["images_min"], int)


BROKEN = [
    ("unknown key", "enforcement: deny", "enforcement: deny\nenforcment: warn", "enforcment"),
    ("duplicate key", "enforcement: deny", "enforcement: deny\nenforcement: deny", "twice"),
    ("other kind", "kind: PromotionPolicy", "kind: Waiver", "Waiver"),
    ("enforcement that does not bite", "enforcement: deny", "enforcement: audit", "audit"),
    ("NaN", "similarity_max: 0.02", "similarity_max: .nan", ".nan"),
    ("infinite", "similarity_max: 0.02", "similarity_max: 1e999", "1e999"),
    ("a list as parameter", "similarity_max: 0.02", "similarity_max: [1]", "params.similarity_max"),
    ("version as text", "version: 1}", "version: '1'}", "metadata.version"),
    ("version as true", "version: 1}", "version: true}", "metadata.version"),
    ("no approvals", "approvals: [{role: reviewer, count: 1}]", "approvals: []", "approvals"),
    ("approvals of nobody", "count: 1}]", "count: 0}]", "approvals[0].count"),
    ("unknown role", "role: reviewer", "role: reviwer", "approvals[0].role"),
    ("misspelt fact", "eval.images >=", "eval.image >=", "did you mean 'eval.images'?"),
    ("misspelt parameter", "<= params.similarity_max\n", "<= params.similarity_mx\n", "params.similarity_max"),
    ("misspelt statistic", "expr: score.`similarity/", "expr: score.`similarty/", "mean 'similarity/digits-clip'?"),
    ("score that no rule names", "set: {score.`similarity/digits-clip`: 0", "set: {score.`similarity/c`: 0", "[1].set"),
    ("a rule about nothing", 'eval.status == "complete" && eval.images >', "params.images_min >", "rules[1].expr"),
    ("unknown placeholder", "{interval}", "{margin}", "{margin}"),
    ("score placeholder without a score", "fewer than {params.images_min}", "fewer than {value}", "{value}"),
    ("open brace", "fewer than {params.images_min} images", "fewer than {", "brace"),
    ("rule called verdict", "id: complete", "id: verdict", "verdict"),
    ("rule twice", "id: complete", "id: look-alikes", "2 times"),
    ("waivable as text", "id: complete", "id: complete\n  waivable: 'yes'", "waivable"),
    ("wrong type in a test", "eval.images: 3}", "eval.images: three}", "tests[1].set.eval.images"),
    ("unknown answer", "complete: deny, verdict", "complete: fail, verdict", "tests[1].expect.complete"),
    ("unknown rule in a test", "complete: deny, verdict", "completed: deny, verdict", "did you mean 'complete'?"),
    ("no failing test", "complete: deny, ", "", "tests of rule complete"),
    ("no error test", "complete: error, ", "", "tests of rule complete"),
    ("no passing test", "complete: allow, ", "", "tests of rule complete"),
    ("a tag", "title: Evaluation complete", "title: !!python/name:os.system x", "tag"),
    ("an alias", "title: Evaluation complete", "title: &a x", "anchor"),
    ("empty title", "title: Evaluation complete", "title: ''", "rules[1].title"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "replacement", "told"), [case[1:] for case in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_slip_is_refused_and_named(small: str, found: str, replacement: str, told: str) -> None:
    assert small.count(found) >= 1
    with pytest.raises(BadInput) as caught:
        parse(small.replace(found, replacement))
    assert caught.value.code == "bad-policy"
    assert told in caught.value.message
    assert "expected" in caught.value.message


@pytest.mark.parametrize("text", ["", "rules", "- 1", "a: [", "a: \x00", "\ufeff"], ids=repr)
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r".") as caught:
        parse(text)
    assert caught.value.code == "bad-policy"


def test_an_empty_rule_list_is_refused(small: str) -> None:
    start, end = small.index("rules:"), small.index("baseline:")
    with pytest.raises(BadInput, match="rules: found"):
        parse(small[:start] + "rules: []\n" + small[end:])


NOT_BOOL = [
    ("a number", "eval.images"),
    ("a double against an int", "score.`similarity/digits-clip` <= 1"),
    ("dynamic", "dyn(eval.images)"),
    ("syntax", "eval.images >"),
    ("unknown function", "len(eval.status) > 0"),
    ("unknown root", "evil.images > 0 && eval.images > 0"),
]


@pytest.mark.parametrize("expr", [case[1] for case in NOT_BOOL], ids=[case[0] for case in NOT_BOOL])
def test_an_expression_that_gives_no_bool_is_refused(small: str, engine: Engine, expr: str) -> None:
    policy = parse(small.replace('eval.status == "complete" && eval.images >= params.images_min', expr))
    with pytest.raises(BadInput) as caught:
        engine.check(policy)
    assert caught.value.code == "bad-policy"
    assert "rules[1].expr" in caught.value.message
