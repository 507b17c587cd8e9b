from spack.package import *

try:
    from spack_repo.builtin.build_systems.meson import MesonPackage
except ImportError:  # before Spack 1.0
    pass


class Inih(MesonPackage):
    """A reader of INI files, which Spack's own packages do not have."""

    homepage = "https://github.com/benhoyt/inih"
    url = "https://github.com/benhoyt/inih/archive/refs/tags/r61.tar.gz"

    license("BSD-3-Clause")

    version("61", sha256="7caf26a2202a4ca689df3fe4175dfa74e0faa18fcca07331bba934fd0ecb8f12")

    depends_on("c", type="build")

    def url_for_version(self, version):
        return f"https://github.com/benhoyt/inih/archive/refs/tags/r{version}.tar.gz"

    def meson_args(self):
        return ["-Ddistro_install=true", "-Dwith_INIReader=false"]
