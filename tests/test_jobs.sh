#!/usr/bin/env bash
# jobs/launch.sh: which ends of a launcher queue a job again. SLURM and the launcher are played: the first tells what it is asked,
# the second ends as ENDS says and writes the output where WRITES is given.
set -u
root=$PWD
cd "$SCRATCH" || exit 1
mkdir -p bin runs jobs
cp "$root"/jobs/* jobs/
printf '#!/bin/sh\necho "$@" >>asked\n' >bin/scontrol
printf '#!/bin/sh\n[ -z "$WRITES" ] || date +%%N >runs/r/metrics.h5\ncase $ENDS in SEGV) kill -SEGV $$ ;; *) exit $ENDS ;; esac\n' >bin/player
chmod +x bin/*
export PATH=$PWD/bin:$PATH LAUNCH=player MIGE=mige MIGE_DATA=d.h5 SLURM_JOB_ID=7 SLURM_SUBMIT_DIR=$PWD

# ends ENDS WRITES STATUS QUEUED: a start of the job; QUEUED: how often it has asked to be queued again by then
ends() {
    local status queued
    mkdir -p runs/r
    ENDS=$1 WRITES=$2 bash jobs/train.sbatch r c.ini >out 2>err
    status=$?
    queued=$([ ! -f asked ] || grep -c 'requeue 7' asked)
    [ "$status ${queued:-0}" = "$3 $4" ] && return
    echo "not ok $name: ended $1 ${2:+having written}: status $status, queued ${queued:-0} times, $3 and $4 expected: $(tail -1 err)"
    exit 1
}
case_of() { name=$1 && rm -rf asked runs/.died-* runs/r; }

case_of "a crash before anything is done, three times"
for n in 1 2 3; do ends SEGV '' 0 $n; done
ends SEGV '' 139 3
echo "ok $name"
case_of "a crash later, and errors"
ends SEGV yes 139 0
for status in 1 2 3 4 5; do ends $status '' $status 0; done
echo "ok $name"
case_of "crashes are counted anew after a stop"
for n in 1 2 3; do ends SEGV '' 0 $n; done
ends 75 yes 0 4
ends SEGV '' 0 5
echo "ok $name"
case_of "no scontrol, as in a container"
printf '#!/bin/sh\nexit 127\n' >bin/scontrol
ends 75 '' 75 0
grep -q 'could not queue again: 7' err && echo "ok $name" || echo "not ok $name: $(cat err)"
