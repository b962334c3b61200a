"""The state of a training run: everything in a checkpoint apart from the arrays of the networks."""

import dataclasses

import numpy as np


def random_streams(seed):
    """Three independent RandomStates from one seed: for data order, initial weights and sampling."""
    return [np.random.RandomState(child.generate_state(8)) for child in np.random.SeedSequence(seed).spawn(3)]


@dataclasses.dataclass
class State:
    """The progress of a run.

    Attributes
    ----------
    random : RandomState
        For the data order; the other two streams are used up before the first epoch.
    epoch : int
        The current or next one; also the number of finished ones.
    updates : int
        Made since the run began: the next one's parity tells which network it trains.
    batches : int
        Done in this epoch.
    order : list of int
        The order of the samples in this epoch.
    sums : list of float
        The summed costs of this epoch's batches.
    seconds : float
        Time that this epoch has taken so far.
    history : list of dict
        A row for every finished epoch, see `utils.training.history`.
    """

    random: np.random.RandomState
    epoch: int = 0
    updates: int = 0
    batches: int = 0
    order: list = dataclasses.field(default_factory=list)
    sums: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    history: list = dataclasses.field(default_factory=list)

    def to_json(self):
        """The state in a form that JSON can represent."""
        name, *rest = self.random.get_state()
        rest[0] = np.asarray(rest[0]).tolist()
        return {**vars(self), 'random': [name, *rest], 'order': [int(i) for i in self.order]}

    @classmethod
    def from_json(cls, state):
        """The inverse of `to_json`."""
        random = np.random.RandomState()
        random.set_state(tuple(state['random']))
        return cls(**{**state, 'random': random})

    def begin_epoch(self, order, costs):
        """Starts an epoch with the samples in `order`, which sums `costs` costs."""
        self.batches, self.order, self.sums, self.seconds = 0, list(order), [0.0] * costs, 0.0

    def add_update(self, costs, seconds):
        """Counts one update."""
        self.sums = [total + float(cost) for total, cost in zip(self.sums, costs)]
        self.updates += 1
        self.batches += 1
        self.seconds += seconds

    def end_epoch(self, row):
        """Counts one epoch and adds its row to the history."""
        self.history.append(row)
        self.epoch += 1
        self.batches, self.order = 0, []
