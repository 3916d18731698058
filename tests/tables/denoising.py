"""What denoising gains, beside a Wiener filter."""

from ae_lightning.inference.measures.reconstruction import SIGMAS

from .table import Quantity, Row, Table

GAINS = [Quantity(f"gain at σ = {s}, dB", f"denoising_gain_{s}", digits=2) for s in SIGMAS]
# The same images, of which some have only copies that were compressed.
JPEG = "--data ae_lightning.datamodules.ImageFolder --data.path cifar10-jpeg"
FILES = "a folder, `cifar10-jpeg`, with train/ and test/, and ten minutes of one core"
FILTER = {q.title: f"denoising_gain_wiener_{s}" for q, s in zip(GAINS, SIGMAS, strict=True)}

TABLE = Table(
    name="denoising",
    title="Images without their noise",
    about="""The gain in PSNR over the noisy test images, in decibels. One model removes noise of
    every σ, from 0.05 to 0.8, and is not told which; the Wiener filter is told σ, and is that of
    the best of three windows at each.""",
    quantities=GAINS,
    ask={"only": ["reconstruction"]},
    rows=[
        Row("MNIST, Wiener filter", "denoise_mnist", instead=FILTER),
        Row(
            "MNIST, denoising autoencoder",
            "denoise_mnist",
            why="""the bottleneck of 256 numbers costs more than noise of σ = 0.05 does.""",
        ),
        Row("CIFAR-10, Wiener filter", "denoise_cifar10", instead=FILTER),
        Row("CIFAR-10, denoising autoencoder", "denoise_cifar10"),
        Row(
            "CIFAR-10 as JPEG files, Wiener filter",
            "denoise_cifar10",
            JPEG,
            instead=FILTER,
            needs=FILES,
        ),
        Row("CIFAR-10 as JPEG files, denoising autoencoder", "denoise_cifar10", JPEG, needs=FILES),
    ],
)
