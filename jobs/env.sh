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
# LAUNCH="srun --mpi=pmix"
