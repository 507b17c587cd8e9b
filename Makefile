# mige: `make` builds build/mige; `make help` lists the rest. Long recipes are in scripts/.
#
# Choices, on the command line (each set of choices wants a build folder B of its own):
#   make MPICC=mpicc.mpich B=build-mpich       another MPI; MPIRUN= where its mpirun has an unusual name
#   make BLAS_LIBS=... SCALAPACK_LIBS=...      other libraries, for example MKL's
#   make HDF5_DIR=/opt/hdf5                    an HDF5 of one's own (the serial library; HDF5_CFLAGS=, HDF5_LIBS=)
#   make CFLAGS='-O2 -march=native'            V=1 shows the commands
MPICC ?= mpicc
MPIRUN ?= $(if $(findstring mpicc,$(MPICC)),$(subst mpicc,mpirun,$(MPICC)),mpirun)
CC = $(MPICC)
B := build
PREFIX ?= /usr/local
OPT ?= -O3
V ?= 0
Q := $(if $(filter 0,$(V)),@)

HDF5_DIR ?=
ifneq ($(HDF5_DIR),)
HDF5_CFLAGS ?= -I$(HDF5_DIR)/include
HDF5_LIBS ?= -L$(HDF5_DIR)/lib -Wl,-rpath,$(HDF5_DIR)/lib -lhdf5
else
HDF5_CFLAGS ?= $(shell pkg-config --cflags hdf5-serial 2>/dev/null || pkg-config --cflags hdf5 2>/dev/null)
HDF5_LIBS ?= $(shell pkg-config --libs hdf5-serial 2>/dev/null || pkg-config --libs hdf5 2>/dev/null || echo -lhdf5)
endif
BLAS_LIBS ?= -lopenblas
SCALAPACK_LIBS ?= $(if $(findstring mpich,$(MPICC)),-lscalapack-mpich,-lscalapack-openmpi)
LIBS = $(SCALAPACK_LIBS) $(BLAS_LIBS) $(HDF5_LIBS) -linih -ldeflate -lpng -ljpeg -lm

WARN := -Wall -Wextra -Wstrict-prototypes -Wwrite-strings -Wshadow -Werror
CFLAGS ?= $(OPT) -g
override CFLAGS += -std=c11 $(WARN) -fopenmp-simd -fno-math-errno
override CPPFLAGS += -D_GNU_SOURCE -Iinclude -Isrc $(HDF5_CFLAGS)

ROOMS := base comm linalg score nn io data train study app
SRC := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
OBJ := $(SRC:src/%.c=$(B)/obj/%.o)
PROGRAM := $(filter-out $(B)/obj/app/main.o,$(OBJ))
LIBRARY := $(filter-out $(B)/obj/study/% $(B)/obj/app/%,$(OBJ))
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))

# What scripts are told. $(run) starts a command with the surroundings that mpirun wants on one machine.
told = B='$(B)' MPICC='$(MPICC)' MPIRUN='$(MPIRUN)' CPPFLAGS='$(CPPFLAGS)'
setup = $(told) HDF5_CFLAGS='$(HDF5_CFLAGS)' HDF5_LIBS='$(HDF5_LIBS)' BLAS_LIBS='$(BLAS_LIBS)' \
	SCALAPACK_LIBS='$(SCALAPACK_LIBS)' LDFLAGS='$(LDFLAGS)' scripts/setup
run = $(told) PYTHON="$$(B='$(B)' scripts/python)" scripts/mpi-env

# As many jobs as cores unless -j says otherwise; but the targets that start make again do it one after the other.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
MAKEFLAGS += --no-print-directory
LONG := test-slurm test-kill test-faults test-hosts test-mutants test-mutations test-readme test-cpus test-report test-portable # each in a folder tests/NAME
ifneq ($(filter demo test $(LONG) fuzz bench lint sanitize valgrind setup clean install,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

.PHONY: all tests demo test bench lint sanitize valgrind install clean info setup help FORCE
.PHONY: demo-run test-run bench-run fuzz fuzzers $(LONG) $(LONG:=-run)
.DELETE_ON_ERROR:

all: $(B)/mige ## the program, build/mige

demo: ## set-up, training on two ranks, and a picture (about a minute)
	@$(setup) build demo
	@$(MAKE) demo-run
demo-run: $(B)/mige
	@$(run) scripts/demo

test: ## set-up and all tests; T="NAME..." runs some
	@$(setup) build test
	@$(MAKE) test-run
test-run: $(B)/mige tests
	@$(run) tests/run $(T)

test-slurm: ## the scripts of jobs/ on a private SLURM (root; two minutes)
test-kill: ## a training killed 100 times, gone on with on other numbers of ranks (10 minutes)
test-faults: ## 200 ranks that fail alone (15 minutes)
test-hosts: ## training on two hosts made of network namespaces (root; three minutes)
test-cpus: ## the program on older processors, played by qemu (a minute)
test-portable: ## all tests with MPICH, clang, other BLAS, ...; T="NAME..." some of them (an hour)
test-readme: ## the commands of README.md, as pasted (five minutes)
test-report: ## reports of runs and files in a headless browser (a minute)
test-mutants: ## 500 damaged HDF5 files (ten minutes)
test-mutations: ## errors put into a copy of the source, each of which a test must notice (fifteen minutes)
$(LONG):
	@$(setup) build test
	@$(MAKE) $@-run
$(LONG:=-run): $(B)/mige
	@$(run) scripts/long-test $(@:test-%-run=%)

FUZZ := -O1 -g -Wno-pass-failed -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
fuzz: ## the parsers under libFuzzer (clang); SECONDS_EACH=1800
	@$(setup) build fuzz
	@$(MAKE) $(B)/mige
	@OMPI_CC=clang MPICH_CC=clang $(MAKE) B='$(B)/fuzz' CFLAGS='$(FUZZ)' fuzzers
	@$(run) scripts/fuzz
fuzzers: $(FUZZERS)
$(B)/fuzz_%: tests/fuzz/fuzz_%.c $(B)/program.a $(B)/flags
	$(Q)echo "  FUZZ  $<"; $(CC) $(CPPFLAGS) -Itests/fuzz $(CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(B)/program.a $(LDFLAGS) $(LIBS)

tests: $(TESTS) ## the test programs, not run

bench: ## measurements; T="SECTION..." runs some
	@$(setup) build demo
	@$(MAKE) bench-run
bench-run: $(B)/mige $(BENCHES)
	@$(run) bench/run $(T)

lint: ## clang-tidy, cppcheck, clang-format, order of the includes
	@$(setup) build lint
	@$(told) scripts/lint

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize: ## the unit tests under address and undefined-behaviour sanitizers
	@$(setup) build test
	@$(MAKE) B='$(B)/sanitize' CFLAGS='$(SANITIZE)' tests
	@B='$(B)/sanitize' MPICC='$(MPICC)' MPIRUN='$(MPIRUN)' scripts/mpi-env scripts/sanitize $(T)

valgrind: ## the unit tests under valgrind (half an hour)
	@$(setup) build test valgrind
	@$(MAKE) tests
	@$(run) scripts/valgrind $(T)

setup: ## installs what is missing: by apt-get, as root or through sudo
	@$(setup) build test demo

$(B)/found: FORCE
	@$(setup) --check build

# A stamp is written only when its text changes, and so makes what depends on it old.
stamp = @mkdir -p $(@D); echo '$(subst ','\'',$(1))' | cmp -s - $@ || echo '$(subst ','\'',$(1))' >$@
$(B)/flags: FORCE
	$(call stamp,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LIBS))
$(B)/revision: FORCE
	$(call stamp,$(shell git describe --always --dirty 2>/dev/null || echo unknown))

$(B)/mige: $(B)/obj/app/main.o $(B)/program.a
	$(Q)echo "  LINK  $@"; $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# All but main, for the program, its tests and benchmarks.
$(B)/program.a: $(PROGRAM)
	$(Q)echo "  AR    $@"; rm -f $@; ar rcs $@ $^

# For other programs: nothing of study and app, and no name that does not begin with mige_.
$(B)/libmige.a: $(LIBRARY)
	$(Q)echo "  AR    $@"; rm -f $@; ld -r -o $(B)/libmige.o $^ && \
	objcopy --wildcard --keep-global-symbol='mige_*' $(B)/libmige.o && ar rcs $@ $(B)/libmige.o

define PKGCONFIG
Name: mige
Description: scores and gradients of mutual information from samples
Version: $(shell sed -n 's/.*MIGE_VERSION "\(.*\)"/\1/p' include/mige/io.h)
Cflags: -I$(PREFIX)/include
Libs: -L$(PREFIX)/lib -lmige $(LIBS)
endef

$(B)/obj/%.o: src/%.c $(B)/flags | $(B)/found
	$(Q)mkdir -p $(@D); echo "  CC    $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/%: tests/%.c $(B)/program.a $(B)/flags
	$(Q)mkdir -p $(@D); echo "  TEST  $<"; \
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -o $@ $< $(B)/program.a $(LDFLAGS) -lcmocka $(LIBS)

$(B)/bench/%: bench/%.c $(B)/program.a $(B)/flags
	$(Q)mkdir -p $(@D); echo "  BENCH $<"; \
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(B)/program.a $(LDFLAGS) $(LIBS)

$(B)/obj/base/exp.o $(B)/obj/score/exp.o: private override CFLAGS += -ffast-math
$(addprefix $(B)/obj/linalg/,fused.o sturm.o thin.o thin_single.o tridiagonal.o twisted.o): private override CFLAGS += -ffp-contract=fast
$(B)/obj/io/provenance.o: private override CPPFLAGS += -DMIGE_REVISION='"$(shell cat $(B)/revision)"'
$(B)/obj/io/provenance.o: $(B)/revision

install: $(B)/mige $(B)/libmige.a ## PREFIX=/usr/local, DESTDIR=
	install -d $(addprefix '$(DESTDIR)$(PREFIX)'/,bin lib/pkgconfig include/mige share/man/man1 share/bash-completion/completions \
		$(addprefix share/mige/,analysis jobs/table1 jobs/table2 examples))
	install -m 755 $(B)/mige '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 $(B)/libmige.a '$(DESTDIR)$(PREFIX)/lib'
	$(file >$(B)/mige.pc,$(PKGCONFIG))
	install -m 644 $(B)/mige.pc '$(DESTDIR)$(PREFIX)/lib/pkgconfig'
	install -m 644 include/mige/*.h '$(DESTDIR)$(PREFIX)/include/mige'
	install -m 644 include/mige.h '$(DESTDIR)$(PREFIX)/include'
	install -m 644 examples/* '$(DESTDIR)$(PREFIX)/share/mige/examples'
	scripts/manual man $(B)/mige >'$(DESTDIR)$(PREFIX)/share/man/man1/mige.1'
	scripts/manual bash $(B)/mige >'$(DESTDIR)$(PREFIX)/share/bash-completion/completions/mige'
	install -m 644 README.md LICENSE '$(DESTDIR)$(PREFIX)/share/mige'
	install -m 644 analysis/*.py '$(DESTDIR)$(PREFIX)/share/mige/analysis'
	for d in jobs jobs/table1 jobs/table2; do install -m 644 $$d/*.* '$(DESTDIR)$(PREFIX)/share/mige/'$$d || exit 1; done

clean: ## removes build/
	rm -rf $(B)

info: ## what the program is built with
	@echo "compiler   $(MPICC): $$($(MPICC) --version 2>&1 | head -1)"
	@echo "MPI        $$($(MPICC) -show 2>&1 | head -1)"
	@echo "mpirun     $(MPIRUN): $$($(MPIRUN) --version 2>&1 | sed '/^$$/d' | head -1)"
	@echo "CPPFLAGS   $(CPPFLAGS)"; echo "CFLAGS     $(CFLAGS)"; echo "LDFLAGS    $(LDFLAGS)"
	@echo "ScaLAPACK  $(SCALAPACK_LIBS)"; echo "BLAS       $(BLAS_LIBS)"; echo "HDF5       $(HDF5_LIBS)"
	@echo "revision   $$(git describe --always --dirty 2>/dev/null || echo unknown)"
	@echo "Python     $$(B='$(B)' scripts/python --find || echo none with h5py, numpy and matplotlib)"
	@echo "folder     $(B)"

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo; sed -n '/^# Choices/,/^[^#]/s/^# \?//p' Makefile

-include $(OBJ:.o=.d) $(TESTS:=.d) $(BENCHES:=.d)
