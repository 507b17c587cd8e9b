"""What the pictures share: files, colours, tables, and how a command ends."""
import argparse
import contextlib
import io
import os
import re
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Okabe and Ito's colours, which the colour-blind tell apart, and two greys.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F5F5F", "#222222"]
plt.rcParams.update({"axes.prop_cycle": plt.cycler(color=COLOURS), "axes.spines.top": False, "axes.spines.right": False,
                     "svg.fonttype": "none"})


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def options(config):
    """{name: value} of the INI text kept in a file."""
    lines = (line.split("=", 1) for line in config.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in lines}


def table(head, rows):
    """Markdown; the first column is text."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


@contextlib.contextmanager
def file_of(command, path):
    """A file that `mige COMMAND` wrote, open."""
    with h5py.File(path, "r") as f:
        if text(f.attrs.get("format", "")) != f"mige-{command}":
            raise OSError(f"{path}: not a file of mige {command}")
        yield f


def guarded(command, what):
    """Runs a command; what is wrong with its files is told in one line."""
    try:
        command()
    except ValueError as e:
        sys.exit(f"analysis: {e}")
    except (OSError, KeyError) as e:
        sys.exit(f"analysis: {e} ({what})")


def picture(fig):
    """A figure as the bytes of a PNG."""
    memory = io.BytesIO()
    fig.savefig(memory, format="png", dpi=110)
    plt.close(fig)
    return memory.getvalue()


def save(fig, output):
    fig.savefig(output, dpi=120)
    plt.close(fig)
    return output


def beside(output, lines):
    """Writes a table beside a picture, as Markdown."""
    name = os.path.splitext(output)[0] + ".md"
    with open(name, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    return name


def files_command(about, name, load, draw, rows):
    """A command line of files of `mige NAME`: a picture of what load(path) gives of them, and rows(...) beside it and printed."""
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", metavar="F.h5", help=f"file of mige {name}")
    p.add_argument("-o", "--output", default=f"{name}.png", metavar="PNG", help=f"picture to write (default {name}.png)")
    o = p.parse_args()

    def command():
        found = [load(path) for path in o.files]
        save(draw(found), o.output)
        beside(o.output, rows(found))
        print("\n".join(rows(found)))

    guarded(command, f"is each F.h5 a file that `mige {name}` wrote?")


def replace_section(output, lines, first=False):
    """Puts lines, which begin with a heading "# ...", in the place of the section of this heading; where there is none, at the end,
    or first."""
    old = ""
    if os.path.exists(output):
        with open(output, encoding="utf-8") as f:
            old = f.read()
    sections = [s for s in re.split(r"^(?=# )", old, flags=re.M) if s.strip()]
    new = "\n".join(lines).strip() + "\n\n"
    places = [i for i, s in enumerate(sections) if s.partition("\n")[0] == lines[0]]
    if places:
        sections[places[0]] = new
    else:
        sections.insert(0 if first else len(sections), new)
    with open(output, "w", encoding="utf-8") as f:
        f.write("".join(sections).rstrip() + "\n")
