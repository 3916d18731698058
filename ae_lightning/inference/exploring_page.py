"""The page of `explore`: sliders beside the pictures that they change."""

from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, Final

import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.core.extras import require_packages
from ae_lightning.core.printing import counted
from ae_lightning.inference.exploring import Explorer

SLIDERS: Final = 10
TANGENTS: Final = 5
LARGEST: Final = "20mb"  # of an uploaded file
CSS: Final = """
.gradio-container { max-width: 1100px !important; margin: auto }
img { image-rendering: pixelated }
footer { display: none !important }
"""


def page_of(explorer: Explorer) -> tuple[Any, dict[str, Any]]:
    """Lay out the page; return it, and how it is to be launched.

    Raises:
        UsageError: if gradio is not installed.
    """
    require_packages("explore", "explore", ["gradio"])
    import gradio as gr

    def said(use: Callable[..., Any]) -> Callable[..., Any]:
        """Show what a user got wrong as a sentence on the page."""

        @wraps(use)
        def shown(*values: Any) -> Any:
            try:
                return use(*values)
            except UsageError as error:
                raise gr.Error(str(error), print_exception=False) from None

        return shown

    n = len(explorer.names)
    dims = explorer.order[:SLIDERS]
    image = {"interactive": False, "buttons": [], "height": 340}
    with gr.Blocks(title="ae-lightning", analytics_enabled=False) as page:
        gr.Markdown(
            f"## {explorer.trained.file.parent.parent.name or explorer.trained.file.name}\n"
            f"{explorer.model.latent} dimensions, {counted(n, 'example')}"
        )
        place = gr.State(0)  # of the image that was chosen, or
        own = gr.State(None)  # one's own, as nested lists

        def current(at: int, mine: Any) -> torch.Tensor:
            if mine is None:
                return explorer.x[at]
            return torch.tensor(mine, device=explorer.x.device)

        with gr.Row():
            with gr.Column(min_width=280):
                original = gr.Image(
                    explorer.beside(explorer.x[0], explorer.reconstructed(explorer.x[0])),
                    label="The image, and its reconstruction",
                    elem_id="original",
                    **image,
                )
            with gr.Column(min_width=280):
                at = gr.Slider(0, n - 1, 0, step=1, label="Choose an example")
                upload = gr.UploadButton(
                    "Or one of your own", file_count="single", elem_id="upload"
                )
                caption = gr.Markdown(explorer.names[0])

        with gr.Tab("Dimensions"), gr.Row():
            with gr.Column(min_width=280):
                decoded = gr.Image(label="Decoded", elem_id="decoded", **image)
            with gr.Column(min_width=280):
                sliders = [
                    gr.Slider(
                        low,
                        high,
                        value=float(explorer.codes[0, k]),
                        step=10**-decimals,
                        precision=decimals,
                        label=f"z{k}: {explorer.score[k]:.2g} {explorer.unit}",
                        elem_id=f"z{i}",
                    )
                    for i, k in enumerate(dims)
                    for low, high, decimals in [explorer.range_of(k)]
                ]
        with gr.Tab("Tangents"), gr.Row():
            with gr.Column(min_width=280):
                walked = gr.Image(label="x + αt, and its reconstruction", elem_id="walked", **image)
            with gr.Column(min_width=280):
                which = gr.Slider(1, TANGENTS, 1, step=1, label="Tangent t, the strongest first")
                alpha = gr.Slider(-8, 8, 0, label="α")
        with gr.Tab("Noise"), gr.Row():
            with gr.Column(min_width=280):
                noisy = gr.Image(label="With noise, and without it", elem_id="noisy", **image)
            with gr.Column(min_width=280):
                unit = explorer.limits[1] - explorer.limits[0]
                sigma = gr.Slider(0, unit, 0.3 * unit, label="σ of the noise", elem_id="sigma")
        with gr.Tab("Between two"), gr.Row():
            with gr.Column(min_width=280):
                between = gr.Image(label="Decoded", elem_id="between", **image)
            with gr.Column(min_width=280):
                other = gr.Slider(0, n - 1, min(1, n - 1), step=1, label="The other example")
                share = gr.Slider(0, 1, 0.5, label="How far towards it")
        with gr.Tab("Map"), gr.Row(), gr.Column(min_width=280):
            gr.HTML(
                "The codes in their two principal directions: click one. "
                + " ".join(
                    f'<span style="color: {colour}">■</span> {escape(kind)}'
                    for kind, colour in explorer.colours.items()
                )
            )
            chart = gr.Image(
                explorer.map(), label="Codes", elem_id="map", interactive=False, buttons=[]
            )

        @said
        def decode(at: int, mine: Any, *values: float) -> Any:
            z = explorer.code_of(current(at, mine)).clone()
            z[dims] = torch.tensor(values, device=z.device)
            return explorer.decoded(z)

        @said
        def walk(at: int, mine: Any, which: float, alpha: float) -> Any:
            x = current(at, mine)
            found = explorer.tangents(x, TANGENTS)
            return explorer.walked(x, found[min(int(which), len(found)) - 1], alpha)

        @said
        def corrupt(at: int, mine: Any, sigma: float) -> Any:
            return explorer.noisy(current(at, mine), sigma)

        @said
        def interpolate(at: int, mine: Any, other: float, share: float) -> Any:
            return explorer.between(current(at, mine), explorer.x[int(other)], share)

        @said
        def choose(at: int, mine: Any) -> list[Any]:
            x = current(at, mine)
            z = explorer.code_of(x)[dims].tolist()
            name = "your own" if mine is not None else explorer.names[at]
            return [explorer.beside(x, explorer.reconstructed(x)), name, *z]

        @said
        def take(file: str) -> Any:
            return explorer.read(file).tolist()

        def click(event: gr.SelectData) -> int:
            return explorer.nearest(*event.index)

        chosen, live = [place, own], {"show_progress": "hidden", "trigger_mode": "always_last"}
        views = (
            (sliders, decode, decoded),
            ([which, alpha], walk, walked),
            ([sigma], corrupt, noisy),
            ([other, share], interpolate, between),
        )
        for inputs, use, output in views:
            for moved in inputs:
                moved.input(use, [*chosen, *inputs], output, **live)
            page.load(use, [*chosen, *inputs], output, show_progress="hidden")
        chart.select(click, None, at)
        at.change(lambda value: (int(value), None), at, chosen, show_progress="hidden")
        upload.upload(take, upload, own)
        for state in chosen:
            shown = state.change(choose, chosen, [original, caption, *sliders], **live)
            for inputs, use, output in views:
                shown = shown.then(use, [*chosen, *inputs], output, show_progress="hidden")
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    options = {"theme": theme, "css": CSS, "quiet": True, "share": False, "footer_links": []}
    return page, {**options, "max_file_size": LARGEST, "run_history": False}
