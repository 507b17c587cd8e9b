#!/bin/bash
# [SEEDS=1-3] [CONFIG=F.ini] [PROBE="--OPTION VALUE..."] [SBATCH="sbatch OPTION..."] bash jobs/table1.sh DATA.h5...
#
# Table 1, Deep InfoMax: queues, for each data file, a training for every seed, and for each of them, once it is done, a probe
# of its features conv, fc and y beside those of the untrained encoder. The runs are $MIGE_RUNS/table1-DATA-seedN.
# Prints the numbers of the jobs.
set -eu
: "${SEEDS:=1-3}" "${CONFIG:=jobs/infomax-cifar10.ini}" "${PROBE:=--layers conv,fc,y --untrained}" "${SBATCH:=sbatch}"
[ $# -gt 0 ] || { echo "usage: bash jobs/table1.sh DATA.h5... (in the project's root)" >&2 && exit 2; }
for data; do
    [ -r "$data" ] || { echo "table1: $data: cannot be read (jobs/README.md says how to make it)" >&2 && exit 3; }
    export MIGE_DATA=$data
    run=table1-$(basename "$data" .h5)
    # shellcheck disable=SC2086  # lists of options
    {
        train=$($SBATCH --parsable --array="$SEEDS" jobs/array.sbatch "$run" "$CONFIG")
        probe=$($SBATCH --parsable --array="$SEEDS" --dependency="aftercorr:${train%;*}" --kill-on-invalid-dep=yes \
            jobs/probe.sbatch "$run" $PROBE)
    }
    echo "$run: training ${train%;*}, probe ${probe%;*}"
done
