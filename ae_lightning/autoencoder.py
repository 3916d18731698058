"""The autoencoder as Lightning trains it: hooks, and nothing that a formula mentions."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ae_lightning.core.distributed import gather, rank_and_world
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Record, to_plain
from ae_lightning.core.randomness import reseed, seed_of
from ae_lightning.core.types import ForwardPass, Pair
from ae_lightning.likelihoods import Likelihood
from ae_lightning.metrics import Evaluation
from ae_lightning.model import Model
from ae_lightning.nn import Network
from ae_lightning.posteriors import Posterior
from ae_lightning.priors import Prior
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.schedules import Clock, OneCycle, Schedule
from ae_lightning.training import accumulated_gradients
from ae_lightning.training.allocator import keep_freed_memory, skip_driver_search
from ae_lightning.training.checkpoint_io import drop_functions, use_atomic
from ae_lightning.training.checkpoint_schema import FORMAT, FORMAT_KEY, PARTS
from ae_lightning.training.clock import Timekeeper, steps_per_epoch
from ae_lightning.training.heartbeat import Heartbeat
from ae_lightning.training.lean_hooks import LeanModule, leave_out, put_back, signed
from ae_lightning.training.lr_schedulers import lr_scheduler
from ae_lightning.training.nonfinite import NonFiniteGuard
from ae_lightning.training.notebook_bar import suit_notebook
from ae_lightning.training.private import count_steps_done, find_unused_parameters
from ae_lightning.training.restoring import Restored
from ae_lightning.training.sharding import change_whole, shard
from ae_lightning.variants import parts_record

ADAM = partial(Adam, lr=3e-3, fused=True)

# "rate" is free for the Rate penalty; without one, evaluation calls KL(q ‖ p) so.
RESERVED = {"loss", "objective", "elbo", "psnr", "active_units", "dead_units", "bound"}
RESERVED = (RESERVED | set(Evaluation.measured)) - {"rate"}


class AutoEncoder(Model, Restored, LeanModule):
    """A `Model` that Lightning trains: it takes the parts, and how to optimise them.

    All arguments but these two are those of `Model`.

    Args:
        optimizer: makes the optimizer from the parameters.
        lr_schedule: multiplies the optimizer's learning rate. If None, it is `OneCycle` over the
            whole training, or `Constant` if the training has no known end. One of torch's own, as
            in `functools.partial(CosineAnnealingLR, T_max=10)`, steps once per epoch (`OneCycleLR`
            and `CyclicLR`: per optimizer step); `ReduceLROnPlateau` follows val/loss, and
            Lightning's of that name the metric that its `monitor` names.

    Raises:
        UsageError: if the parts contradict each other or the data.
    """

    evaluations: Any  # nn.ModuleDict of Evaluation, by stage

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        encoder: Network,
        posterior: Posterior,
        decoder: Network,
        likelihood: Likelihood,
        prior: Prior | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        samples: int = 1,
        optimizer: Callable[[Iterable[Any]], Optimizer] = ADAM,
        lr_schedule: Schedule | Callable[[Optimizer], LRScheduler] | None = None,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
    ) -> None:
        for name in regularizers or {}:
            if not name.isidentifier() or name in RESERVED or hasattr(nn.ModuleDict, name):
                raise UsageError(f"a regularizer cannot be named {name}: choose another name.")
        parts = encoder, posterior, decoder, likelihood, prior
        super().__init__(shape, latent, *parts, regularizers, samples, value_range, seed)
        self.optimizer, self.lr_schedule = optimizer, lr_schedule
        self._guard, self._terms = NonFiniteGuard(), dict[str, Tensor]()
        self._timekeeper, self._lr = Timekeeper(), 0.0
        terms = ("loss", "objective", *self.bound_terms, *self.regularizers)
        makes = partial(Evaluation, latent, terms, value_range)
        self.evaluations = nn.ModuleDict({"val": makes(), "test": makes()})
        self.save_hyperparameters(self.record)

    @classmethod
    def defaults(cls) -> Record:
        """What the arguments stand for if they are left out, as plain values."""
        return {"optimizer": to_plain(ADAM), "lr_schedule": OneCycle().record}

    # ------------------------------------------------------------------- training

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.optimizer(self.parameters())
        except (ValueError, TypeError) as error:
            raise UsageError(f"model.optimizer cannot be made: {error}.") from error
        factor = partial(self._timekeeper.lr_factor, self.trainer)
        every = self.trainer.check_val_every_n_epoch
        scheduler = lr_scheduler(optimizer, self.lr_schedule, factor, every)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    @property
    def schedules(self) -> list[Schedule]:
        """The schedules of all penalties."""
        return [s for penalty in self.regularizers.values() for s in penalty.schedules]

    @property
    def has_unused_parameters(self) -> bool:
        """Whether some parameters may get no gradient, since nothing in the loss uses them yet."""
        on = [r for r in self.regularizers.values() if not r.schedules and r.weight != 0]
        unused = [r for r in self.regularizers.values() if r not in on]
        if not (self.bound_holds_prior or any(r.holds_prior for r in on)):
            unused.append(self.prior)
        return any(p.requires_grad for part in unused for p in part.parameters())

    def configure_callbacks(self) -> list[Callback]:
        suit_notebook(self.trainer)
        return [Heartbeat()] if self.trainer.world_size > 1 else []

    def configure_model(self) -> None:
        if self._trainer is None:
            return
        outputs = all(r.sees_outputs_only for r in self.regularizers.values())
        apart = [self.encoder, self.decoder] if outputs and not self.decoder.tied() else []
        shard(self, self.trainer.strategy, apart)

    def setup(self, stage: str) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.dataset_size = len(getattr(data, "sets", {}).get("train", ()))
        use_atomic(self.trainer.strategy)
        if stage == "fit":
            self._guard = NonFiniteGuard()
            self._log_every_n_steps = max(1, self.trainer.log_every_n_steps)  # type: ignore[attr-defined]
            if self.has_unused_parameters:
                find_unused_parameters(self.trainer.strategy)
            self._timekeeper.begin(self.trainer, self.lr_schedule, self.schedules)
            count_steps_done(self.trainer, lambda: self._lr)

    def on_fit_start(self) -> None:
        if self.device.type == "cpu":
            keep_freed_memory()
            skip_driver_search()
        self.check_optimizers()
        leave_out(self.trainer, self)
        resumed = self.trainer.ckpt_path is not None
        self.clock = self._timekeeper.start(self.trainer, self.clock if resumed else None)

    def on_train_batch_start(self, batch: Pair, batch_idx: int) -> None:
        self._timekeeper.rescale(self.trainer, batch_idx)
        self.clock = self._timekeeper.now(self.trainer)
        reseed(seed_of(self.seed, self.clock.epoch, batch_idx, rank_and_world()[0]), self.device)
        if self.clock.step == 0:
            self._begin(self.check_pair(batch))

    def _begin(self, pair: Pair) -> None:
        if self.needs_corruption and torch.equal(pair.x_tilde, pair.x):
            raise UsageError(
                f"{type(self).__name__} was given clean pairs only: add a corruption to the "
                "data, such as GaussianNoise(sigma=0.3) or Masking(p=0.3)."
            )
        if not self.started:
            x = gather(pair.x)
            change_whole(self, lambda model: model.start(x.to(model.device)))

    @property
    def _logs_now(self) -> bool:
        return bool((self.clock.step + 1) % self._log_every_n_steps == 0)

    @signed
    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        out = self.propagate(batch)
        terms = self.objective(out)
        self._terms = dict(terms)
        # A call of self.log costs as much as a twentieth of a small model's step.
        if self._logs_now:
            self._log_terms(terms, out)
        return terms["loss"]

    def on_before_backward(self, loss: Tensor) -> None:
        self._guard.note(self._terms)
        self._terms = {}  # which would keep the graph

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        trainer, self._lr = self.trainer, optimizer.param_groups[0]["lr"]
        if (planned := trainer.accumulate_grad_batches) > 1:
            batches = trainer.fit_loop.batch_idx % planned + 1
            accumulated_gradients.average(self.parameters(), batches, planned)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._guard.check(self, optimizer, scaled=scaler is not None)
        if self._logs_now:
            self._guard.look(self)

    def on_validation_start(self) -> None:
        leave_out(self.trainer, self)
        self._guard.look(self)

    def on_test_start(self) -> None:
        leave_out(self.trainer, self)

    def on_train_end(self) -> None:
        self._guard.look(self)

    def teardown(self, stage: str) -> None:
        put_back(self.trainer, self)

    def _log_terms(self, terms: dict[str, Tensor], out: ForwardPass) -> None:
        self.watch(terms, out)
        several = self.trainer.world_size > 1
        found = torch.stack([value.detach() for value in terms.values()])
        # The trainer reads them after every batch, and would wait for a GPU each time.
        found = found if several else found.cpu()
        values: dict[str, Any] = {f"train/{k}": v for k, v in zip(terms, found, strict=True)}
        for name, weight in self.weights().items():
            if isinstance(self.regularizers[name].weight, Schedule):
                values[f"train/{name}_weight"] = weight
        self.log("train/loss", values.pop("train/loss"), prog_bar=True, sync_dist=several)
        self.log_dict(values, sync_dist=several)

    # ----------------------------------------------------------------- evaluation

    def _evaluate(self, stage: str, batch: Pair) -> None:
        out = self.propagate(batch)
        terms = self.objective(out)
        self.watch(terms, out)
        terms["objective"] = self._final_objective(out, terms["loss"])
        self.evaluations[stage].update(self, out, terms, batch.places[0] >= 0)

    def _final_objective(self, out: ForwardPass, loss: Tensor) -> Tensor:
        """Return the objective at the weights that schedules end with, the same at every epoch."""
        clock, end = self.clock, self.clock.at_end()
        if all(schedule(clock) == schedule(end) for schedule in self.schedules):
            return loss
        self.clock = end
        try:
            with torch.random.fork_rng([out.x.device] if out.x.is_cuda else []):
                return self.objective(out)["loss"]
        finally:
            self.clock = clock

    def _log_evaluation(self, stage: str) -> None:
        values = {f"{stage}/{n}": value for n, value in self.evaluations[stage].compute().items()}
        self.log_dict(values, sync_dist=self.trainer.world_size > 1)
        self.evaluations[stage].reset()

    @signed
    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    @signed
    def test_step(self, batch: Pair, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def predict_step(self, batch: Pair, batch_idx: int) -> dict[str, Tensor]:
        """Return code, reconstruction, distortion, label and index of every example, clean."""
        batch = batch._replace(x_tilde=batch.x)
        out = self.propagate(batch)
        return {
            "code": self.posterior.code(out.features),
            "reconstruction": self.reconstruct(batch.x),
            "distortion": self.distortion(out),
            "label": batch.y,
            "index": batch.places,
        }

    # ---------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        drop_functions(checkpoint)
        self._guard.look(self)
        checkpoint[FORMAT_KEY] = FORMAT
        if (parts := parts_record(self)) is not None:
            checkpoint[PARTS] = parts
        checkpoint["clock"] = list(self.clock)
        checkpoint["steps_per_epoch"] = steps_per_epoch(self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not isinstance(self, FSDPModule):  # whose strategy has checked it, and loaded a part
            self.check_checkpoint(checkpoint, self.source)
            if self._trainer is not None:  # later, Lightning would have rounded what it loads
                self._trainer.precision_plugin.convert_module(self)
        self.clock = Clock(*checkpoint["clock"])
        self._timekeeper.resume(self.clock, checkpoint["steps_per_epoch"])
