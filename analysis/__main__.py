"""python3 -m analysis COMMAND ...: pictures, tables and reports of what mige has written. COMMAND --help tells its arguments."""
import importlib
import os
import sys

# The commands: a row and a module with main() each.
COMMANDS = {
    "report": "one page of HTML on runs and files: settings, curves, times, spectra, accuracies, what to do next",
    "curves": "the curves of runs, over each other, and the accuracies of their probes",
    "compare": "runs side by side: options that differ, figures at the end, curves",
    "figure1": "gradients of mutual information against the truth, from files of mige toy",
    "mi": "values of mutual information and their null distribution, from files of mige mi",
    "score": "scores beside their samples, and what tells that they are right, from files of mige score",
    "scaling": "time and error against samples and ranks, from files of mige scale; what a cluster would need",
    "results": "the first page of RESULTS.md: the paper's figure and tables beside what mige gives",
    "study": "errors of estimators where the truth is known: runs mige toy, writes RESULTS.md",
    "table1": "accuracies of classifiers on frozen features beside the published",
    "table2": "test errors of information bottlenecks beside the published",
    "batch": "accuracies against the global batch and the estimator",
    "bottleneck": "what bottlenecks make of noise, rotation and images of other kinds",
    "baselines": "accuracies of classifiers on pixels, principal components and a projection",
    "pictures": "what the runs of a study have learnt: accuracies, codes by class, neighbours, spectra",
}


def usage():
    print(__doc__ + "\n")
    for name in COMMANDS:
        print(f"  {name:10} {COMMANDS[name]}")


def main():
    # Modules find each other beside this file, wherever the command is given.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        usage()
        return
    if name not in COMMANDS:
        sys.exit(f"analysis: {name}: no such command (one of {', '.join(COMMANDS)})")
    sys.argv = [f"analysis {name}", *sys.argv[2:]]
    importlib.import_module(name).main()


if __name__ == "__main__":
    main()
