# What differs from one cluster to the next, in one place; the job scripts read it.
#
# The modules (or paths) that mige was built with:
# module purge && module load gcc openmpi openblas scalapack hdf5

# The program, the data file, and a folder for the runs: on file systems that every node sees.
MIGE=${MIGE:-$PWD/build/mige}
MIGE_DATA=${MIGE_DATA:-$PWD/cifar10.h5}
MIGE_RUNS=${MIGE_RUNS:-$PWD/runs}

# How ranks are started: mpirun, or srun with the PMI that the MPI library was built for (`srun --mpi=list`).
LAUNCH=${LAUNCH:-mpirun}
# srun does not take over the CPUs of a task from SLURM 22.05 on, and waits for the others when a rank dies, unless told:
# LAUNCH="srun --mpi=pmix --cpus-per-task=${SLURM_CPUS_PER_TASK:-1} --kill-on-bad-exit=1"

# Open MPI's mpirun gets SLURM's SIGTERM too and passes it on a second time, at which a rank ends at once: after one second,
# too soon for a step and a checkpoint. This makes it 20. A job that fails, or stops with status 75, then ends 40 s later.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-20}

# A host that is lost: its ranks are missed by the others after 20 s (--watch); these let mpirun notice it too, after 16 s and
# not after a quarter of an hour.
export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-10}
export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-2}
export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-3}
