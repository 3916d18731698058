"""Photographs: how many bits they take, and one's own."""

from .table import Quantity, Row, Table

PSNR = Quantity("PSNR, dB", "psnr", digits=1)

CIFAR10 = Table(
    name="cifar10",
    title="Bits of CIFAR-10",
    about="""Under uniform dequantisation; log p(x) by importance sampling with 1,000 samples, over
    the first 1,000 test images.""",
    quantities=[Quantity("bits a dimension", "bits_per_dimension"), PSNR],
    ask={"only": ["likelihood", "reconstruction"], "samples": 1000, "repeats": 1},
    rows=[Row("residual VAE", "cifar10_vae", needs="200 epochs, about 7 hours of one core")],
)
PHOTOGRAPHS = Table(
    name="photographs",
    title="A folder of photographs",
    about="""Your own, at 64 × 64, which `denoise`, `encode` and `reconstruct` then take.""",
    quantities=[PSNR, Quantity("gain at σ = 0.1, dB", "denoising_gain_0.1", digits=1)],
    ask={"only": ["reconstruction"]},
    quick="--data.path callbacks/gallery --data.val_size 1 --data.num_workers 0",
    rows=[
        Row(
            "residual denoising autoencoder",
            "photographs",
            "--data.path photographs",
            needs="a folder, `photographs`, and 7 minutes of one core for every 1,000 of them",
        )
    ],
)
