"""Evaluation while a run trains: scores that choose its best checkpoint, and pictures."""

import jax
import ml_collections

from rotdis import distributed, evaluate, pictures
from rotdis.data.prepare import PreparedData
from rotdis.inference import Model
from rotdis.metric_writer import MetricWriter
from rotdis.step import TrainState


class Validator:
    """Evaluates the averaged parameters on the validation split, in process 0; others wait."""

    def __init__(self, config: ml_collections.ConfigDict, data: PreparedData, writer: MetricWriter):
        self._config, self._data, self._writer = config, data, writer
        self._model: Model | None = None

    def __call__(self, done: int, state: TrainState) -> dict[str, float] | None:
        if not len(self._data.validation):
            return None
        return distributed.on_first(lambda: self._evaluate(done, state))

    def _evaluate(self, done: int, state: TrainState) -> dict[str, float] | None:
        params = jax.tree.map(lambda leaf: leaf.addressable_data(0), state.ema_params)
        if self._model is None:
            self._model = Model(self._config, params)
        self._model.params = params
        metrics, predictions = evaluate.evaluate(
            self._model,
            self._data.validation,
            self._data.train,
            seed=self._config.eval.seed,
            batch_size=self._config.eval.batch_size,
            max_train=0,
            rotations=self._config.data.rotations,
        )
        if predictions is None:  # each object also occurs in training
            return None
        overall = {name: value for name, value in metrics.items() if name.count("/") == 1}
        self._writer.write_scalars(
            done, {f"validation/{name}": value for name, value in overall.items()}
        )
        sheets = pictures.preview(
            self._model,
            self._data.validation,
            seed=self._config.eval.seed,
            rotations=self._config.data.rotations,
        )
        self._writer.write_images(done, sheets)
        return overall
