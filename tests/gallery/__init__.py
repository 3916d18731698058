"""The pictures that README and docs show, each remade by the command that stands below it."""
