# What the job scripts share; read after env.sh.
#
# launch ARGUMENT...: mige under the launcher, and its status. mpirun and srun pass SIGUSR1 on to the ranks. They run in the
# background: bash would keep a signal waiting until a program in the foreground ends. SIGTERM, at the limit or a
# preemption, SLURM sends to the ranks itself.
# `stop` tells scripts that launch one thing after the other.
launcher='' stop=''
trap 'stop=1; [ -z "$launcher" ] || kill -USR1 "$launcher" 2>/dev/null' USR1
trap 'stop=1' TERM
launch() {
    [ -z "$stop" ] || return 75
    $LAUNCH "$MIGE" "$@" &
    launcher=$!
    while kill -0 "$launcher" 2>/dev/null; do wait "$launcher"; done
    wait "$launcher"
}

# finish STATUS: ends the script; the job is queued again if it was stopped and can go on (75), or if the launcher died of the
# signal, SIGUSR1 or SIGTERM, as it may in its first moments. SLURM then ends this script at once: nothing may come after.
finish() {
    case $1${stop:+ stopped} in 75* | "138 stopped" | "143 stopped") ;; *) exit "$1" ;; esac
    [ -n "${SLURM_JOB_ID:-}" ] && scontrol requeue "$SLURM_JOB_ID" && exit 0
    exit "$1"
}
