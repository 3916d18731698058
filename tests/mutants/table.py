"""All mutants, in the order of the library's layers."""

from mutants import densities, measures, objective, penalties
from mutants.mutant import mutants_in

TABLES = (densities.TABLE, objective.TABLE, measures.TABLE, penalties.TABLE)
MUTANTS = [mutant for table in TABLES for mutant in mutants_in(table)]
