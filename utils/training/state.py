"""Where a training run stands: all that a checkpoint keeps beside the arrays of the networks."""

import dataclasses

import numpy as np


def random_streams(seed):
    """Three independent RandomStates from one seed: of data order, of initial weights, of sampling."""
    return [np.random.RandomState(child.generate_state(8)) for child in np.random.SeedSequence(seed).spawn(3)]


@dataclasses.dataclass
class State:
    """Where a run stands.

    Attributes
    ----------
    random : RandomState
        Of the data order; the other two streams are used up before the first epoch.
    epoch : int
        The one that is under way, or the next; also the number of finished ones.
    updates : int
        Made since the run began: the next one's parity tells which network it trains.
    batches : int
        Done in this epoch.
    order : list of int
        In which this epoch takes the samples.
    sums : list of float
        The costs of this epoch's batches, added up.
    seconds : float
        That this epoch took so far.
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
        """As what JSON can hold."""
        name, *rest = self.random.get_state()
        rest[0] = np.asarray(rest[0]).tolist()
        return {**vars(self), 'random': [name, *rest], 'order': [int(i) for i in self.order]}

    @classmethod
    def from_json(cls, state):
        """The state of `to_json`."""
        random = np.random.RandomState()
        random.set_state(tuple(state['random']))
        return cls(**{**state, 'random': random})

    def begin_epoch(self, order, costs):
        """Starts an epoch that takes the samples in `order` and adds up `costs` costs."""
        self.batches, self.order, self.sums, self.seconds = 0, list(order), [0.0] * costs, 0.0

    def add_update(self, costs, seconds):
        """Counts one update."""
        self.sums = [total + float(cost) for total, cost in zip(self.sums, costs)]
        self.updates += 1
        self.batches += 1
        self.seconds += seconds

    def end_epoch(self, row):
        """Counts one epoch and keeps its row of the history."""
        self.history.append(row)
        self.epoch += 1
        self.batches, self.order = 0, []
