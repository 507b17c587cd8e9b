"""A model of what a gradient of `mige scale` takes: seconds of each phase, and memory, from the sizes and the number of ranks.

Each phase is a sum of terms with constants >= 0 that are fitted to measured rows, each by its relative error; the terms that hold a
phase's flops are never faster than dgemm. With M samples in D
dimensions, a gradient is two score problems, of D and 2D dimensions: in turn on all p = P ranks where each has many samples, else at
once, the larger one on p = floor(P/2) of them. n problems of E dimensions together are then the critical ones (n, E = 2, 3D or
1, 2D), and the terms:

  work          n M^3/p, E M^2/p, n M^2/p      shared by the ranks, at a rate a rank (GEMM, memory, exponentials)
  alone         n M^2, E M                     the same on every rank (tridiagonal eigenvalues, panels, vectors)
  traffic       n M^2 log2 p, E M log2 p       bytes through the network
  messages      n M log2 p, n M/nb log2 p      how often ranks wait for each other
"""
import itertools
import math

import numpy as np

PHASES = ("gram", "eigen", "score", "rest")
NB = 128  # columns of a panel, about
DOUBLE = 8  # bytes
IN_TURN, ONE_BY_ONE = 2048, 24576  # samples a rank, and in all, from which problems come in turn

# name: (function of n, E, M, p, doubles sent, messages)
TERMS = {
    "work M^3": lambda n, E, M, p: n * M**3 / p,
    "work E M^2": lambda n, E, M, p: E * M**2 / p,
    "work M^2": lambda n, E, M, p: n * M**2 / p,
    "alone M^3": lambda n, E, M, p: n * M**3,
    "alone M^2": lambda n, E, M, p: n * M**2,
    "alone E M": lambda n, E, M, p: E * M,
    "alone 1": lambda n, E, M, p: n + 0.0 * M,
    "traffic M^2": lambda n, E, M, p: n * M**2 * math.log2(p),
    "traffic E M": lambda n, E, M, p: E * M * math.log2(p),
    "messages M": lambda n, E, M, p: n * M * math.log2(p),
    "messages M/nb": lambda n, E, M, p: n * M / NB * math.log2(p),
}
# Terms of each phase by the way the equations are solved.
WAYS = {
    "filter": {"eigen": ("work M^3", "alone M^2", "traffic M^2", "messages M"),
               "score": ("work E M^2", "alone E M", "traffic E M", "messages M/nb")},
    "dense": {"eigen": ("work M^3", "alone M^2", "traffic M^2", "messages M"),
              "score": ("work E M^2", "alone E M", "traffic E M")},
    "cholesky": {"eigen": ("work M^3", "work M^2", "traffic M^2", "messages M/nb"),
                 "score": ("work E M^2", "alone E M", "traffic E M", "messages M/nb")},
    "cg": {"eigen": ("work M^3", "alone M^3", "traffic M^2"),
           "score": ("work E M^2", "work M^2", "alone E M", "traffic E M")},
}
COMMON = {"gram": ("work E M^2", "work M^2", "alone E M", "traffic E M"),
          "rest": ("alone E M", "traffic E M", "alone 1")}
# Flops in the terms above.
FLOPS = {
    "filter": {("eigen", "work M^3"): 4 / 3, ("gram", "work E M^2"): 3},
    "dense": {("eigen", "work M^3"): 4 / 3, ("gram", "work E M^2"): 3},
    "cholesky": {("eigen", "work M^3"): 1 / 3, ("gram", "work E M^2"): 3, ("score", "work E M^2"): 2},
    "cg": {("eigen", "work M^3"): 0.02, ("gram", "work E M^2"): 3},
}
BYTES = ("work M^2", "alone M^2", "alone E M")


def way(estimator, solver):
    if estimator == "stein":
        return "cg" if solver == "cg" else "cholesky"
    return "filter" if solver in ("auto", "filter") else "dense"


def critical(D, M, P):
    """n, E and p, as mige_problems_groups has it."""
    in_turn = P == 1 or M >= min(IN_TURN * P, ONE_BY_ONE)
    return (2, 3.0 * D, P) if in_turn else (1, 2.0 * D, P // 2)


def term(name, D, M, P):
    n, E, p = critical(D, M, P)
    return TERMS[name](n, E, float(M), p)


def non_negative(A, b):
    """Least squares with x >= 0, by trying each set of columns: there are few."""
    best, found = float(b @ b), np.zeros(A.shape[1])
    scale = np.where(np.abs(A).max(0) > 0, np.abs(A).max(0), 1)
    for size in range(1, A.shape[1] + 1):
        for columns in itertools.combinations(range(A.shape[1]), size):
            part = A[:, columns] / scale[list(columns)]
            x, _, rank, _ = np.linalg.lstsq(part, b, rcond=None)
            error = float(((part @ x - b) ** 2).sum())
            if rank == size and (x >= 0).all() and error < best * (1 - 1e-9):
                best, found = error, np.zeros(A.shape[1])
                found[list(columns)] = x / scale[list(columns)]
    return found


def fit(names, rows, values, least=None):
    """{term: constant}; rows [(D, M, P)]; constants no smaller than `least`."""
    values = np.asarray(values, float)
    good = values > 0
    if not good.any():
        return {name: 0.0 for name in names}
    A = np.array([[term(name, *row) for name in names] for row in rows])[good] / values[good, None]
    low = np.array([(least or {}).get(name, 0.0) for name in names])
    return dict(zip(names, low + non_negative(A, 1 - A @ low)))


def evaluate(constants, row):
    return sum(c * term(name, *row) for name, c in constants.items())


class Model:
    """Of one estimator and solver. rows [(D, M, P)], seconds {phase: values}, memory: values [byte], dgemm: flops a second
    of a rank."""

    def __init__(self, estimator, solver, rows, seconds, memory, dgemm):
        how = way(estimator, solver)
        names = {**COMMON, **WAYS[how]}
        least = {phase: {term: n / dgemm for (of, term), n in FLOPS[how].items() if of == phase} for phase in PHASES}
        self.phases = {phase: fit(names[phase], rows, seconds[phase], least[phase]) for phase in PHASES}
        self.memory = fit(BYTES, rows, memory)

    def seconds(self, row):
        return {phase: evaluate(c, row) for phase, c in self.phases.items()}

    def total(self, row):
        return sum(self.seconds(row).values())

    def bytes(self, row):
        return evaluate(self.memory, row)

    def on_network(self, latency, bandwidth):
        """With constants of traffic and messages no smaller than a network's: one machine's ranks have none between them."""
        floor = {"traffic": DOUBLE / bandwidth, "messages": latency}
        for constants in self.phases.values():
            for name in constants:
                constants[name] = max(constants[name], floor.get(name.split()[0], 0))
        return self


def held_out(sizes):
    """Every third size, the largest first: it is extrapolated to."""
    sizes = sorted(set(sizes))
    return set(sizes[::-3]) if len(sizes) >= 3 else set()
