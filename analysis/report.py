"""One page of HTML on runs of `mige train` and files of `mige score`, `mi`, `toy` and `scale`: pictures are inside, nothing is loaded.

A run can still be going on, or have been killed. Its codes are drawn where its newest checkpoint can be read by `mige encode`."""
import argparse
import base64
import html
import os
import re

import curves
import figure1
import h5py
import health
import matplotlib.pyplot as plt
import mi
import scaling
import score
from common import guarded, picture, table, text
from compare import rows as side_by_side
from runs import Run

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem; margin: 0 auto; padding: 1rem 1.5rem 4rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.3rem; border-top: 2px solid #0072B2; padding-top: .6rem; margin-top: 2.5rem } h3 { font-size: 1.05rem }
img { max-width: 100%; height: auto; display: block; margin: .5rem 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0 1rem } th, td { padding: .15rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left } th { border-bottom: 2px solid #888 }
code { background: #f2f2f2; padding: .05rem .3rem; border-radius: .2rem; overflow-wrap: anywhere } li { margin: .4rem 0 }
.state { display: inline-block; padding: .05rem .6rem; border-radius: .8rem; color: #fff; background: #555; font-size: 1rem; vertical-align: middle }
.running { background: #0072B2 } .stopped { background: #B04A00 } .done { background: #00705A }
summary { cursor: pointer; color: #0060A0 }
"""


def marked(line):
    """Text with commands between backquotes."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(line, quote=False))


def markdown(lines):
    """What the tables are written in: paragraphs, headings, lists, tables."""
    out, rows = [], []

    def end_table():
        if rows:
            out.append('<div class="wide"><table>' + "".join(rows) + "</table></div>")
            rows.clear()

    for line in [*lines, ""]:
        if line.startswith("|"):
            kind = "th" if not rows else "td"
            if not re.fullmatch(r"[|:\- ]+", line) or not rows:
                rows.append("<tr>" + "".join(f"<{kind}>{marked(c.strip())}</{kind}>" for c in line.strip()[1:-1].split("|")) + "</tr>")
            continue
        end_table()
        if line.startswith("#"):
            out.append(f"<h3>{marked(line.lstrip('# '))}</h3>")
        elif line.startswith("- "):
            out.append(f"<li>{marked(line[2:])}</li>")
        elif line.strip():
            out.append(f"<p>{marked(line.strip())}</p>")
    return out


def image(fig, about):
    return f'<img alt="{html.escape(about)}" src="data:image/png;base64,{base64.b64encode(picture(fig)).decode()}">'


def two_columns(head, pairs):
    return markdown(table(head, [[k, v] for k, v in pairs]))


def accuracy(run):
    fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
    curves.draw_accuracy(ax, [run])
    return fig


def codes(run, mige):
    if not mige or not run.checkpoints():
        return ["<p>Not drawn: " + ("no program to encode with." if not mige else "there is no checkpoint yet.") + "</p>"]
    try:
        return [image(health.draw_codes(health.Codes(run, mige)), "codes by class, and their spectrum")]
    except OSError as e:
        return [f"<p>Not drawn: {marked(str(e))}</p>"]


def run_section(run, mige):
    state, about = run.state(), run.about
    out = [f'<h2>{html.escape(run.name)} <span class="state {state}">{state}</span></h2>', f"<p>{marked(', '.join(run.settings().splitlines()))}</p>",
           f"<p>Step {run.step} of {run.last_step() or '?'}. Started by <code>{html.escape(about['command_line'])}</code></p>"]
    out += ["<h3>What to do next</h3>", "<ul>", *[f"<li>{marked(line)}</li>" for line in health.advice(run)], "</ul>"]
    if run.step:
        out += ["<h3>Curves</h3>", "<p>Faint: each step; strong: mean over a fiftieth of the run.</p>",
                image(curves.draw_all([run]), "curves of training")]
    if run.accuracy:
        out += ["<h3>What the features are worth</h3>", image(accuracy(run), "accuracies of classifiers on the frozen features")]
    out += ["<h3>The code</h3>"]
    if len(run.series.get("code_dimensions", ())):
        out.append(image(health.draw_spectrum(run), "spectrum of the code over training"))
    out += codes(run, mige)
    if len(run.series.get("seconds_step", ())):
        out += ["<h3>Time</h3>", image(health.draw_phases(run), "time of a step by phase"), *markdown(health.phase_rows(run))]
    kept = ("software", "git_revision", "created", "ranks", "threads", "hosts", "seed")
    out += ["<h3>Configuration</h3>", *two_columns(["what", "value"], [(k, about[k]) for k in kept if k in about]), "<details><summary>all options</summary>",
            *two_columns(["option", "value"], [(k, v or "–") for k, v in run.options.items()]), "</details>"]
    return out


def toy_section(paths):
    found = figure1.Figure(paths)
    return ["<h2>Gradients of mutual information where the truth is known</h2>", image(figure1.draw(found), "Figure 1"), *markdown(figure1.table(found))]


def mi_section(paths):
    values = [mi.Value(path) for path in paths]
    return ["<h2>Mutual information</h2>", image(mi.draw(values), "values of mutual information"), *markdown(mi.rows(values))]


def score_section(paths):
    scores = [score.Scores(path) for path in paths]
    return ["<h2>Scores</h2>", image(score.draw(scores), "scores of samples"), *markdown(score.rows(scores))]


def scale_section(paths):
    series = scaling.load(paths)
    lines, short = scaling.report(series, [scaling.parse_cluster(c) for c in scaling.CLUSTERS], (2e-6, 1e10))
    return ["<h2>Time and error against samples and ranks</h2>", image(scaling.draw(series, short, None), "scaling"), *markdown(lines[1:])]


FILES = {"mige-toy": toy_section, "mige-mi": mi_section, "mige-score": score_section, "mige-scale": scale_section}


def sections(names, mige):
    runs, files = [], {}
    for name in names:
        if os.path.isdir(name):
            runs.append(Run(name))
            continue
        try:
            with h5py.File(name, "r") as f:
                kind = text(f.attrs.get("format", ""))
        except OSError as e:
            raise OSError(f"{name}: {e}") from None
        if kind not in FILES:
            raise OSError(f"{name}: neither a run's folder nor a file of mige score, mi, toy or scale")
        files.setdefault(kind, []).append(name)
    out = []
    if len(runs) > 1:
        out += ["<h2>Side by side</h2>", *markdown(side_by_side(runs)), image(curves.draw_all(runs), "curves over each other")]
    for run in runs:
        out += run_section(run, mige)
    for kind, paths in files.items():
        out += FILES[kind](paths)
    return out


def page(names, mige):
    title = "mige: " + ", ".join(os.path.basename(os.path.abspath(n)) for n in names)
    return "\n".join(["<!DOCTYPE html>", '<html lang="en">', '<head><meta charset="utf-8">',
                      '<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{html.escape(title)}</title>",
                      f"<style>{STYLE}</style></head>", f"<body><h1>{html.escape(title)}</h1>", *sections(names, mige), "</body></html>", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="+", metavar="RUN|F.h5", help="folder of a run, or a file of mige score, mi, toy or scale")
    p.add_argument("-o", "--output", default="report.html", metavar="HTML", help="page to write (default report.html)")
    p.add_argument("--mige", default=health.find_mige(), help="the program, which encodes the test images; '': the codes are not drawn")
    o = p.parse_args()

    def command():
        whole = page(o.names, o.mige)
        with open(o.output, "w", encoding="utf-8") as f:
            f.write(whole)
        print(f"written to {o.output}")

    guarded(command, "is each a folder that `mige train` wrote, or a file of `mige score`, `mi`, `toy` or `scale`?")


if __name__ == "__main__":
    main()
