"""Completion of this command line in a shell."""

import re
from argparse import Namespace
from string import Template
from typing import Final, Literal

from ae_lightning import systems
from ae_lightning.cli.fit import Fit
from ae_lightning.cli.messages import family
from ae_lightning.cli.pages import section
from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.config_files import shipped
from ae_lightning.datamodules import PairDataModule

SCRIPT: Final = Template("""\
_ae_lightning() {
    local words word=$${COMP_WORDS[COMP_CWORD]}
    case $${COMP_WORDS[COMP_CWORD-1]} in
        --config|-c) words="$configs" ;;
        --model) words="$models" ;;
        --data) words="$data" ;;
        *) words="$options" ;;
    esac
    [ "$$COMP_CWORD" = 1 ] && words="$commands"
    COMPREPLY=($$(compgen -W "$$words" -- "$$word"))
}
complete -o default -F _ae_lightning ae-lightning
""")
FOR_ZSH: Final = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def completion(shell: Literal["bash", "zsh"]) -> None:
    """Print what completes commands, options, shipped configs and classes in a shell.

    Keep it in a file that the shell reads: ae-lightning completion bash >> ~/.bashrc

    Args:
        shell: the shell, bash or zsh.
    """
    from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS

    own = Namespace(config=[], run=None, resume=None, debug=False)
    options = re.findall(r"^  (--[\w.]+)", section("all", lambda: Fit(own, ["--help"])), re.M)
    for name, kind in {"model": systems.VariationalAutoEncoder, "data": PairDataModule}.items():
        options += [f"--{name}.{argument}" for argument in parameters_of(kind)]
    words = {
        "commands": [*TRAINER_COMMANDS, *PLAIN_COMMANDS],
        "configs": [*shipped()],
        "models": [system.__name__ for system in family(systems.AutoEncoder)],
        "data": [data.__name__ for data in family(PairDataModule)],
        "options": [*dict.fromkeys([*options, "--ckpt_path", "--out", "--help"])],
    }
    joined = {name: " ".join(each) for name, each in words.items()}
    print((FOR_ZSH if shell == "zsh" else "") + SCRIPT.substitute(joined), end="")
