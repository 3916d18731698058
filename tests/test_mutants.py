"""The table of `make mutants` is true: each error can be made, and each witness is there."""

from pathlib import Path

import pytest

from ae_lightning.theory import CLAIMS
from mutants.mutant import Mutant
from mutants.table import MUTANTS

TESTS = Path(__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_what_it_changes_stands_there_once_and_still_compiles(mutant: Mutant) -> None:
    compile(mutant.mutated(), mutant.file, "exec")


@pytest.mark.parametrize("witness", dict.fromkeys(w for m in MUTANTS for w in m.witnesses))
def test_a_witness_is_a_test_or_a_claim(witness: str) -> None:
    kind, *arguments = witness.split()
    assert arguments[0] in CLAIMS if kind == "theory" else (TESTS / kind).is_file()


def test_every_mutant_has_a_name_of_its_own_and_a_witness() -> None:
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.witnesses for mutant in MUTANTS)


def test_code_that_has_moved_is_told() -> None:
    moved = MUTANTS[0]._replace(before="what stands nowhere")
    with pytest.raises(ValueError, match="stands there 0 times, not once"):
        moved.mutated()
