# From the root of this tree: spack repo add jobs/spack && spack install mige
import os

from spack.package import *

try:
    from spack_repo.builtin.build_systems.makefile import MakefilePackage
except ImportError:  # before Spack 1.0
    pass


class Mige(MakefilePackage):
    """Encoders of images without labels by the gradient of mutual information, scores and mutual information of samples."""

    git = "file://" + os.path.abspath(os.path.join(os.path.dirname(__file__), *[".."] * 4))

    license("BSD-3-Clause")

    version("main", branch="main")

    depends_on("c", type="build")
    depends_on("gmake", type="build")
    depends_on("mpi@3:")
    depends_on("scalapack")
    depends_on("blas")
    depends_on("lapack")
    requires("^openblas")  # the CBLAS interface, under the name of cblas.h
    depends_on("hdf5~mpi")
    depends_on("random123")
    depends_on("inih")
    depends_on("libdeflate")
    depends_on("libpng")
    depends_on("libjpeg-turbo")

    def choices(self):
        blas = self.spec["lapack"].libs + self.spec["blas"].libs
        return [
            f"MPICC={self.spec['mpi'].mpicc}",
            f"SCALAPACK_LIBS={self.spec['scalapack'].libs.ld_flags}",
            f"BLAS_LIBS={blas.ld_flags}",
            f"HDF5_DIR={self.spec['hdf5'].prefix}",
            f"PREFIX={self.prefix}",
        ]

    @property
    def build_targets(self):
        return self.choices()

    @property
    def install_targets(self):
        return self.choices() + ["install"]
