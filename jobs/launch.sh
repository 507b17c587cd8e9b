# What the job scripts share; read after env.sh.
#
# launch ARGUMENT...: mige under the launcher, and its status. mpirun and srun pass SIGUSR1 on to the ranks. They run in the
# background: bash would keep a signal waiting until a program in the foreground ends. SIGTERM, at the limit or a
# preemption, SLURM sends to the ranks itself.
# `stop` tells scripts that launch one thing after the other. `output`, set by the script, is a file that the launched writes
# before its first step and after.
launcher='' stop='' before=''
trap 'stop=1; [ -z "$launcher" ] || kill -USR1 "$launcher" 2>/dev/null' USR1
trap 'stop=1' TERM
launch() {
    [ -z "$stop" ] || return 75
    before=$(state)
    $LAUNCH "$MIGE" "$@" &
    launcher=$!
    while kill -0 "$launcher" 2>/dev/null; do wait "$launcher"; done
    wait "$launcher"
}

state() { ls -lin --time-style=full-iso "${output:-}" 2>/dev/null; }

# Whether the launcher crashed (STATUS of a signal) before anything was done, as MPI libraries now and then do in their start; three
# times a job, and not where it has stopped meanwhile.
crashed_early() {
    case $1 in 12[89] | 1[3-9][0-9]) ;; *) return 1 ;; esac
    [ -n "${output:-}" ] && [ "$(state)" = "$before" ] && mkdir -p "$MIGE_RUNS" && echo "$1" >>"$died" || return 1
    [ "$(wc -l <"$died")" -le 3 ] && echo "job: the launcher crashed (status $1) before anything was done: once more" >&2
}

# finish STATUS: ends the script; the job is queued again if it was stopped and can go on (75), if the launcher died of the
# signal, SIGUSR1 or SIGTERM, as it may in its first moments, or crashed. SLURM then ends this script at once: nothing may come
# after.
finish() {
    local died=$MIGE_RUNS/.died-${SLURM_JOB_ID:-0}
    case $1${stop:+ stopped} in
        75* | "138 stopped" | "143 stopped") rm -f "$died" ;;
        *) crashed_early "$1" || { rm -f "$died" && exit "$1"; } ;;
    esac
    [ -n "${SLURM_JOB_ID:-}" ] && scontrol requeue "$SLURM_JOB_ID" && exit 0
    [ -z "${SLURM_JOB_ID:-}" ] || echo "job: could not queue again: $SLURM_JOB_ID (sbatch the same command: it goes on)" >&2
    exit "$1"
}
