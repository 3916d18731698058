"""The documentation site. `make docs` builds it, runs every example, and fails at any warning."""

import logging
import os
import sys
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE / "extensions"))
# Examples call `ae-lightning`, also if this environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# It tells of each notebook that it is run, and what is read for the reference turns that on.
logging.getLogger("traitlets").setLevel(logging.WARNING)

project = "ae-lightning"
release = version = version_of(project)
project_copyright = "the authors of ae-lightning, Apache-2.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "claim_directive",
    "docstrings",
    "indices",
    "magics",
    "notes",
    "public_directive",
]
exclude_patterns = ["_build", "extensions"]
highlight_language = "bash"  # of blocks without one: commands
default_role = "code"
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds, of a cell
nb_execution_show_tb = True
nb_merge_streams = True

html_theme = "furo"
html_title = "ae-lightning"
# MathJax itself, so that a page fetches nothing from the network.
(MATHJAX,) = find_spec("sphinx-mathjax-offline").submodule_search_locations
html_static_path = ["_static", f"{MATHJAX}/static"]
mathjax_path = "mathjax/tex-chtml.js"
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Pages outside docs/ that pages within it link to, and the pages that include them.
OUTSIDE = {"../SECURITY.md": "security.md", "../CONTRIBUTING.md": "contributing.md"}


def setup(app):
    def link_within(app, page, source):
        for outside, within in OUTSIDE.items():
            source[0] = source[0].replace(f"]({outside}", f"]({within}")

    app.connect("source-read", link_within)
