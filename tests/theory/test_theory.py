"""Every claim of the theory is proved, over a seed that no recipe was tuned on."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from ae_lightning.cli.main import main
from ae_lightning.cli.theory import prove_all, table
from ae_lightning.core.errors import UsageError
from ae_lightning.theory import CLAIMS, claim
from ae_lightning.theory.page import formula, page
from ae_lightning.theory.proof import Check, Claim, Proof, Results, prove

SEED = 11  # recipes were tuned on 0 to 4
QUICK = "noise"


@pytest.fixture(scope="module")
def proofs() -> dict[str, Proof]:
    return {proof.claim.name: proof for proof in prove_all(list(CLAIMS), SEED)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_the_claim_is_proved_and_its_wrong_versions_fail(name, proofs) -> None:
    proof = proofs[name]
    if proof.skipped:
        pytest.skip(proof.skipped)
    told = [(c.what, c.value, c.bound, c.wrong) for c in proof.checks if not c.proved]
    assert proof.proved, told
    assert proof.pictures


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_claims(name) -> None:
    stated = claim(name)
    assert stated.name == name
    assert stated.statement.endswith(".")
    assert "<svg" in formula(stated.formula)[0]
    assert stated.formula.startswith("$")
    assert stated.formula.endswith("$")
    for text in (stated.title, stated.source, stated.wrong_version, stated.caption):
        assert text


def test_a_check_holds_within_its_bounds_and_never_for_nan() -> None:
    assert Check("", 1.0, at_least=1, at_most=1).holds
    assert not Check("", 1.1, at_most=1).holds
    assert not Check("", float("nan")).holds


def test_a_wrong_version_that_passes_disproves_a_check() -> None:
    assert Check("", 0.0, at_most=1, wrong={"w": 2.0}).proved
    assert not Check("", 0.0, at_most=1, wrong={"w": 0.5}).proved


class Stated(Claim):
    """A claim with checks of one's choice."""

    title = statement = source = wrong_version = caption = "stated"
    formula = "$x$"
    checks: tuple[Check, ...] = ()

    def run(self, seed: int) -> Results:
        torch.rand(1)
        yield from self.checks


def test_a_claim_without_a_wrong_version_is_not_proved() -> None:
    stated = Stated()
    stated.checks = (Check("", 0.0, at_most=1),)
    assert not prove(stated).proved


def test_an_experiment_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    prove(Stated())
    assert torch.get_rng_state().equal(before)


def test_the_same_seed_gives_the_same_figures() -> None:
    first, again, other = (prove(claim(QUICK), seed) for seed in (1, 1, 2))
    assert first.checks == again.checks
    assert first.checks != other.checks


def test_an_unknown_claim_is_answered_with_the_nearest(capsys) -> None:
    with pytest.raises(UsageError, match="did you mean score"):
        claim("scoer")
    assert main(["theory", "scoer"]) == 2
    assert "did you mean score?" in capsys.readouterr().err


def test_the_command_prints_the_table_and_writes_the_page(tmp_path: Path, capsys) -> None:
    assert main(["theory", QUICK, "--report", str(tmp_path / "out"), "--seed", str(SEED)]) == 0
    assert QUICK in capsys.readouterr().out
    text = (tmp_path / "out" / "index.html").read_text()
    for part in (claim(QUICK).title, "data:image/png;base64", "<svg", "1 of 1 claims proved"):
        assert part in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_claim_that_fails_is_named_with_exit_code_1(monkeypatch, capsys) -> None:
    stated = Stated(QUICK)
    stated.checks = (Check("a figure", 2.0, at_most=1, wrong={"w": 3.0}),)
    proof = prove(stated)
    monkeypatch.setattr("ae_lightning.cli.theory.prove_all", lambda names, seed: [proof])
    assert main(["theory", QUICK]) == 1
    assert f"not proved: {QUICK}" in capsys.readouterr().out


def test_figures_that_fail_are_marked_in_table_and_page() -> None:
    stated = Stated()
    stated.checks = (Check("a figure", 2.0, at_most=1, wrong={"w": 0.5}),)
    proof = prove(stated)
    console = Console(width=100)
    with console.capture() as shown:
        console.print(table(proof, console.width))
    for word in ("NOT PROVED", "FAILS", "HOLDS"):
        assert word in shown.get()
    assert "holds!" in page([proof], 0)
    assert "failed" in page([proof], 0)
