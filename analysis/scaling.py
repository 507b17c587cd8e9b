"""Draws files of `mige scale`, other ranks, estimators and solvers together: error against M, time against M, time against ranks,
and a model fitted to the phases, checked on sizes that were not fitted, of what a cluster would need. Writes a picture, and the
tables in Markdown beside it."""
import argparse

import matplotlib.pyplot as plt
import matplotlib.ticker
import model
import numpy as np
from common import beside, file_of, guarded, save, text
from common import table as markdown

SECONDS = {"gram": "seconds_gram", "eigen": "seconds_eigen", "score": "seconds_score"}
NAMES = {"gram": "Gram matrix", "eigen": "eigenproblem or factorisation", "score": "scores", "rest": "rest"}
CLUSTERS = ("4,64,256", "64,64,256")
CLUSTER_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
MARKERS = "osD^vP*X"


class Case:
    """A row: M samples in D dimensions on P ranks."""

    def __init__(self, rows, i, D, threads):
        self.M, self.P, self.D, self.threads = int(rows["samples"][i]), int(rows["ranks"][i]), D, threads
        self.total = float(rows["seconds_total"][i])
        self.seconds = {phase: float(rows[name][i]) for phase, name in SECONDS.items()}
        self.seconds["rest"] = max(self.total - sum(self.seconds.values()), 0.0)
        self.gflop = 1e-9 * sum(float(rows[f"flops_{p}"][i]) for p in ("gram", "eigen", "apply"))
        self.error, self.deviation = float(rows["relative_error"][i]), float(rows["relative_error_sd"][i])
        self.repeats, self.slope, self.J = int(rows["repeats"][i]), float(rows["slope"][i]), float(rows["eigen"][i])
        self.bytes, self.predicted = float(rows["bytes_per_rank"][i]), float(rows["bytes_predicted"][i])
        self.dgemm = float(rows["dgemm_gflops"][i])
        self.complete = rows["draws"][i] == rows["repeats"][i] * len(rows["rho"])

    @property
    def row(self):
        return self.D, self.M, self.P


class Series:
    """All cases of one estimator, solver and problem."""

    def __init__(self, name, estimator, solver):
        self.name, self.estimator, self.solver, self.cases = name, estimator, solver, []

    def at(self, P):
        return sorted((c for c in self.cases if c.P == P), key=lambda c: c.M)

    def ranks(self):
        return sorted({c.P for c in self.cases})

    def main_ranks(self):
        """The number of ranks with the most sizes; of equals the most ranks."""
        return max(self.ranks(), key=lambda P: (len(self.at(P)), P))


def describe(attributes):
    a = {k: text(v) if isinstance(v, bytes) else v for k, v in attributes.items()}
    parts = [a["estimator"] + ("" if a["solver"] == "auto" else f" {a['solver']}")]
    if a["estimator"] == "ssge":
        parts.append(f"J {a['eigen_asked']}" if a["eigen_asked"] else f"{a['threshold']:g}")
    if a["calibrate"] != "none":
        parts.append(f"calibrated ({a['calibrate']})")
    if a["precondition"] != "none":
        parts.append(a["precondition"])
    parts.append(f"{a['problem']}{' rotated' if a['rotate'] else ''} {a['dim']}d")
    if int(a["threads"]) > 1:
        parts.append(f"{a['threads']} threads")
    return ", ".join(parts), a["estimator"], a["solver"]


def load(paths):
    found = {}
    for path in paths:
        with file_of("scale", path) as f:
            key = describe(f.attrs)
            series = found.setdefault(key, Series(*key))
            rows = {name: d[()] for name, d in f.items()}
            cases = [Case(rows, i, int(f.attrs["dim"]), int(f.attrs["threads"])) for i in range(len(rows["samples"]))]
            # Of cases that are in several files the last one counts.
            new = {(c.M, c.P) for c in cases if c.complete}
            series.cases = [c for c in series.cases if (c.M, c.P) not in new] + [c for c in cases if c.complete]
    found = [s for s in found.values() if s.cases]
    if not found:
        raise OSError(f"{paths[0]}: no case is complete")
    return found


# ---- powers and efficiencies


def power(M, y):
    """y ~ c M^a: a, c."""
    M, y = np.asarray(M, float), np.asarray(y, float)
    good = (y > 0) & np.isfinite(y)
    if good.sum() < 2:
        return None
    a, b = np.polyfit(np.log(M[good]), np.log(y[good]), 1)
    return float(a), float(np.exp(b))


def errors(series):
    """One case a size: errors do not depend on the number of ranks."""
    found = {}
    for c in sorted(series.cases, key=lambda c: (c.M, c.P)):
        found.setdefault(c.M, c)
    return [c for c in found.values() if np.isfinite(c.error)]


def strong(series):
    """{M: cases by ranks} where there is more than one number of ranks."""
    groups = {}
    for c in sorted(series.cases, key=lambda c: c.P):
        groups.setdefault(c.M, []).append(c)
    return {M: g for M, g in groups.items() if len(g) > 1}


def weak(series):
    """Lists of cases with the same M^2/P (to 5 %) and different numbers of ranks."""
    lists, taken = [], set()
    for first in sorted(series.cases, key=lambda c: (c.P, c.M)):
        same = [c for c in series.cases if c.M != first.M and c.P > first.P and
                abs(c.M**2 / c.P / (first.M**2 / first.P) - 1) < 0.05]
        if same and (first.M, first.P) not in taken:
            lists.append(sorted([first, *same], key=lambda c: c.P))
            taken |= {(c.M, c.P) for c in lists[-1]}
    return [g for g in lists if len({c.P for c in g}) == len(g)]


def efficiency(first, c):
    return first.total * first.P / (c.total * c.P)


# ---- the model


def fit(series, cases):
    return model.Model(series.estimator, series.solver, [c.row for c in cases],
                       {p: [c.seconds[p] for c in cases] for p in model.PHASES}, [c.predicted for c in cases],
                       1e9 * max(c.dgemm for c in cases))


def check(series):
    """[(case, predicted seconds)] of sizes that are held out."""
    out = model.held_out([c.M for c in series.cases])
    fitted = fit(series, [c for c in series.cases if c.M not in out])
    return [(c, fitted.seconds(c.row)) for c in sorted(series.cases, key=lambda c: (c.M, c.P)) if c.M in out]


def parse_cluster(word):
    parts = word.split(",")
    if len(parts) != 3 or not all(p.strip().isdigit() and int(p) > 0 for p in parts[:2]):
        raise ValueError(f"--cluster: {word} is not NODES,CORES,GB (for example 16,64,256)")
    return int(parts[0]), int(parts[1]), float(parts[2])


def where_it_fits(fitted, D, M, cores, gigabytes):
    """The fewest nodes whose memory holds it: with a rank a core or, since each has the samples, as many as do fit."""
    ranks = cores
    while ranks >= 1:
        for nodes in 2 ** np.arange(15):
            if fitted.bytes((D, M, int(nodes) * ranks)) * ranks <= 1e9 * gigabytes:
                return f"on {nodes} node{'s' * int(nodes > 1)}" + (f", {on_ranks(ranks)} each" if ranks < cores else "")
        ranks //= 2
    return "nowhere"


# ---- panels


def sizes_axis(axis):
    axis.set_major_locator(matplotlib.ticker.LogLocator(base=2, numticks=14))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def on_ranks(P):
    return f"{P} rank{'s' * (P > 1)}"


def draw_errors(ax, all_series):
    for k, s in enumerate(all_series):
        cases = errors(s)
        M, y = [c.M for c in cases], [c.error for c in cases]
        bars = [c.deviation / np.sqrt(c.repeats) if np.isfinite(c.deviation) else 0 for c in cases]
        law = power(M, y)
        label = s.name + (f": $M^{{{law[0]:.2f}}}$" if law else "")
        ax.errorbar(M, y, yerr=bars, fmt=MARKERS[k % 8], color=f"C{k}", capsize=3, label=label)
        if law:
            x = np.array([min(M), max(M)], float)
            ax.plot(x, law[1] * x ** law[0], color=f"C{k}", lw=1, alpha=0.6)
    ax.set(xscale="log", yscale="log", xlabel="samples M", ylabel="relative RMSE of dI/drho")
    sizes_axis(ax.xaxis)
    ax.set_title("(a) Error of the gradient of mutual information", fontsize=11)


def draw_times(ax, all_series, peak):
    for k, s in enumerate(all_series):
        cases = s.at(s.main_ranks())
        M = [c.M for c in cases]
        law = power(M[-4:], [c.total for c in cases][-4:])
        label = f"{s.name}, {on_ranks(cases[0].P)}" + (f": $M^{{{law[0]:.2f}}}$" if law else "")
        ax.plot(M, [c.total for c in cases], "-" + MARKERS[k % 8], color=f"C{k}", label=label, lw=1.8)
        for phase, style in ("gram", ":"), ("eigen", "--"), ("score", "-."):
            y = [c.seconds[phase] or np.nan for c in cases]
            ax.plot(M, y, style, color=f"C{k}", lw=1)
        limit = [c.gflop / (c.P * (peak or c.dgemm)) if c.gflop else np.nan for c in cases]
        ax.plot(M, limit, color=f"C{k}", lw=5, alpha=0.22, solid_capstyle="round")
    for label, style, how in (("Gram matrix", ":", {}), ("eigenproblem, factorisation", "--", {}), ("scores", "-.", {}),
                              ("all flops at the dgemm rate", "-", {"lw": 5, "alpha": 0.22})):
        ax.plot([], [], style, color="0.3", label=label, **how)
    ax.set(xscale="log", yscale="log", xlabel="samples M", ylabel="seconds of one gradient")
    sizes_axis(ax.xaxis)
    ax.set_title("(b) Time", fontsize=11)


def draw_ranks(ax, groups, label, ideal):
    """Time against ranks, with the efficiency at each point."""
    ticks = set()
    for k, (name, cases) in enumerate(groups):
        P, t = [c.P for c in cases], [c.total for c in cases]
        ax.plot(P, t, "-" + MARKERS[k % 8], color=f"C{k}", label=name)
        ax.plot(P, [ideal(cases[0], c) for c in cases], color=f"C{k}", lw=1, ls=":")
        for c in cases[1:]:
            e = ideal(cases[0], c) / c.total
            ax.annotate(f"{100 * e:.0f}%", (c.P, c.total), textcoords="offset points", xytext=(4, 4), fontsize=8)
        ticks |= set(P)
    ax.set_title(label, fontsize=11)
    if not groups:
        ax.text(0.5, 0.5, "needs files of several\nnumbers of ranks", ha="center", va="center", color="0.5",
                transform=ax.transAxes)
        ax.set_axis_off()
        return
    ax.set(xscale="log", yscale="log", xlabel="ranks", ylabel="seconds of one gradient")
    ax.set_xticks(sorted(ticks), [str(p) for p in sorted(ticks)])
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.set_xlim(min(ticks) / 1.1, max(ticks) * (max(ticks) / min(ticks)) ** 0.15)


def strong_time(first, c):
    return first.total * first.P / c.P


def weak_time(first, c):
    """The same flop rate a rank: M^3/P grows as M where M^2/P stays."""
    return first.total * (c.gflop / c.P) / (first.gflop / first.P) if first.gflop else first.total


def few(groups, most=6):
    """Those that take longest."""
    return sorted(groups, key=lambda g: -g[1][0].total)[:most]


def draw(all_series, lines, peak):
    fig = plt.figure(figsize=(16, 6 + max(4, 0.17 * len(lines))), layout="constrained")
    grid = fig.add_gridspec(2, 3, height_ratios=[6, max(4, 0.17 * len(lines))])
    axes = [fig.add_subplot(grid[0, i]) for i in range(3)] + [fig.add_subplot(grid[1, 2])]
    draw_errors(axes[0], all_series)
    draw_times(axes[1], all_series, peak)
    draw_ranks(axes[2], few([(f"M = {M:,}, {s.name}", g) for s in all_series for M, g in strong(s).items()]),
               "(c) Strong scaling; efficiency against fewest ranks", strong_time)
    draw_ranks(axes[3], few([(f"M = {g[0].M:,} to {g[-1].M:,}, {s.name}", g) for s in all_series for g in weak(s)]),
               "(c) Weak scaling, M²/P fixed; efficiency: flops a rank", weak_time)
    for ax in axes:
        if ax.get_legend_handles_labels()[0]:
            ax.grid(alpha=0.25, which="both")
            ax.legend(fontsize=8, framealpha=0.85)
    ax = fig.add_subplot(grid[1, :2])
    ax.set_axis_off()
    ax.text(0, 1, "(d) Model\n\n" + "\n".join(lines), family="monospace", fontsize=9, va="top", transform=ax.transAxes)
    return fig


# ---- tables


def table(head, rows):
    return [*markdown(head, rows), ""]


def number(x, digits=3):
    return "" if not np.isfinite(x) else f"{x:.{digits}g}"


def duration(seconds):
    for unit, size in ("days", 86400), ("h", 3600), ("min", 60):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def case_table(s):
    rows = [[str(c.M), str(c.P), number(c.J, 4) if c.J else "", *(number(c.seconds[p]) for p in model.PHASES), number(c.total),
             number(c.gflop / c.total), number(100 * c.gflop / c.total / c.P / c.dgemm), number(c.bytes / 1e6, 4),
             number(c.bytes / c.predicted), f"{c.error:.4f}" + (f" ± {c.deviation:.4f}" if np.isfinite(c.deviation) else ""),
             f"{c.slope:.4f}"] for c in sorted(s.cases, key=lambda c: (c.P, c.M))]
    return table(["M", "ranks", "J", "gram s", "eigen s", "score s", "rest s", "total s", "GFLOP/s", "% of dgemm", "MB a rank",
                  "of predicted", "relative error", "slope"], rows)


def scaling_tables(s):
    rows = [[str(M), str(c.P), number(c.total), number(g[0].total / c.total), f"{100 * efficiency(g[0], c):.0f} %"]
            for M, g in sorted(strong(s).items()) for c in g]
    if rows:
        yield "Strong scaling, M fixed:\n"
        yield from table(["M", "ranks", "seconds", "times as fast", "efficiency"], rows)
    rows = [[str(c.M), str(c.P), number(c.M**2 / c.P), number(c.total), f"{100 * weak_time(g[0], c) / c.total:.0f} %",
             number(c.bytes / 1e6)] for g in weak(s) for c in g]
    if rows:
        yield "Weak scaling, M²/P fixed; efficiency is the flop rate a rank against that of the fewest ranks:\n"
        yield from table(["M", "ranks", "M²/P", "seconds", "efficiency", "MB a rank"], rows)


def check_rows(s):
    def ratios(c, predicted):
        for p in (*SECONDS, None):
            t = c.seconds[p] if p else c.total
            yield number((predicted[p] if p else sum(predicted.values())) / t) if t > 0 else ""
    return [[str(c.M), str(c.P), *ratios(c, predicted), number(c.total)] for c, predicted in check(s)]


def cluster_rows(s, fitted, cluster):
    nodes, cores, gigabytes = cluster
    D, P = s.cases[0].D, nodes * cores
    for M in CLUSTER_SIZES:
        need = 1e-9 * fitted.bytes((D, M, P)) * cores
        fits = "yes" if need <= gigabytes else where_it_fits(fitted, D, M, cores, gigabytes)
        seconds = fitted.total((D, M, P))
        worst = max(fitted.seconds((D, M, P)).items(), key=lambda x: x[1])[0]
        yield [f"{M:,}", f"{need:,.3g}" if need < 1000 else f"{need:,.0f}", fits,
               duration(seconds), worst]


def constants_text(fitted):
    for phase in model.PHASES:
        parts = [f"{c:.2e} s × {name}" for name, c in fitted.phases[phase].items() if c > 0]
        yield f"- {NAMES[phase]}: " + (" + ".join(parts) or "0")


def report(all_series, clusters, network):
    """The Markdown, and the lines of panel (d)."""
    lines, short = ["# Scaling of the gradient of mutual information", ""], []
    for s in all_series:
        lines += [f"## {s.name}", "", *case_table(s), *scaling_tables(s)]
        law, cases = power([c.M for c in errors(s)], [c.error for c in errors(s)]), s.at(s.main_ranks())
        times = power([c.M for c in cases][-4:], [c.total for c in cases][-4:])
        if law and times:
            lines += [f"Error ~ M^{law[0]:.2f}; time ~ M^{times[0]:.2f} on {on_ranks(cases[0].P)} (largest sizes).", ""]
        rows = check_rows(s)
        short.append(s.name)
        if rows:
            held = model.held_out([c.M for c in s.cases])
            fitted_sizes = sorted({c.M for c in s.cases} - held)
            lines += [f"Model fitted to M = {', '.join(map(str, fitted_sizes))}; predicted / measured at the sizes not fitted:", ""]
            lines += table(["M", "ranks", "gram", "eigen", "score", "total", "measured total s"], rows)
            totals = [float(r[5]) for r in rows]
            largest = max(rows, key=lambda r: int(r[0]))
            short.append(f"  predicted/measured at sizes not fitted: {min(totals):.2f} to {max(totals):.2f}; "
                         f"M = {int(largest[0]):,} on {on_ranks(int(largest[1]))}: {largest[5]}")
        else:
            lines += ["Too few sizes to hold one out (three at least): the model is not checked.", ""]
            short.append("  too few sizes to check the model (three at least)")
        fitted = fit(s, s.cases)
        lines += ["Constants, fitted to all sizes (terms: see analysis/model.py):", "", *constants_text(fitted), ""]
        fitted.on_network(*network)
        for cluster in clusters:
            nodes, cores, gigabytes = cluster
            rows = list(cluster_rows(s, fitted, cluster))
            lines += [f"On {nodes} nodes of {cores} cores like these, {gigabytes:g} GB each, messages of at least "
                      f"{1e6 * network[0]:g} µs and {1e-9 * network[1]:g} GB/s:", ""]
            lines += table(["M", "GB a node", "fits", "a gradient takes", "most of it"], rows)
            short += [f"  {nodes} nodes of {cores} cores, {gigabytes:g} GB each:"]
            short += [f"    M = {r[0]:>9}  {r[1]:>8} GB a node  {r[3]:>10}  {'' if r[2] == 'yes' else 'would fit ' + r[2]}" for r in rows]
    lines += ["Rates a rank are those measured here; a cluster's cores, and ranks that share a node's memory bandwidth, will differ. "
              "A matrix of this size has not been run where a prediction goes beyond the largest M above.", ""]
    return lines, short


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", metavar="F.h5", help="files of mige scale")
    p.add_argument("-o", "--output", default="scale.png", metavar="PNG", help="picture to write (default scale.png); the tables "
                   "go beside it, .md")
    p.add_argument("--cluster", action="append", metavar="NODES,CORES,GB", help="a cluster to predict for, GB a node; several are "
                   "possible (default 4,64,256 and 64,64,256)")
    p.add_argument("--network", default="2,10", metavar="US,GB/S", help="latency and bandwidth of its network (default 2,10)")
    p.add_argument("--peak", type=float, metavar="GFLOP/S", help="of one rank (default: dgemm as measured)")
    o = p.parse_args()

    def command():
        all_series = load(o.files)
        clusters = [parse_cluster(c) for c in o.cluster or CLUSTERS]
        latency, bandwidth = map(float, o.network.split(","))
        lines, short = report(all_series, clusters, (1e-6 * latency, 1e9 * bandwidth))
        save(draw(all_series, short, o.peak), o.output)
        beside(o.output, lines)
        print("\n".join(short))

    guarded(command, "are these files that `mige scale` wrote?")
