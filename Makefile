# mige: `make` builds build/mige; `make help` lists the rest.
MPICC ?= mpicc
CC = $(MPICC)
OPT ?= -O3
B := build
V ?= 0
ifeq ($(V),0)
Q := @
endif

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
LIBS = $(SCALAPACK_LIBS) $(BLAS_LIBS) $(HDF5_LIBS) -linih -lz -lm

WARN := -Wall -Wextra -Wstrict-prototypes -Wwrite-strings -Wshadow -Werror
REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
CFLAGS ?= $(OPT) -g
override CFLAGS += -std=c11 $(WARN) -fopenmp-simd -fno-math-errno
override CPPFLAGS += -D_GNU_SOURCE -Iinclude -Isrc $(HDF5_CFLAGS)

ROOMS := base comm linalg score nn io data app
SRC := $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
OBJ := $(SRC:src/%.c=$(B)/obj/%.o)
LIBOBJ := $(filter-out $(B)/obj/app/main.o,$(OBJ))
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/test_*.c))

.PHONY: all clean
all: $(B)/mige

$(B)/mige: $(B)/obj/app/main.o $(B)/libmige.a
	$(Q)echo "  LINK  $@"; $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/libmige.a: $(LIBOBJ)
	$(Q)echo "  AR    $@"; rm -f $@; ar rcs $@ $^

$(B)/obj/%.o: src/%.c
	$(Q)mkdir -p $(@D); echo "  CC    $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/%: tests/%.c $(B)/libmige.a
	$(Q)mkdir -p $(@D); echo "  TEST  $<"; $(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -o $@ $< $(B)/libmige.a $(LDFLAGS) -lcmocka $(LIBS)

tests: $(TESTS)

clean:
	$(Q)rm -rf $(B)

$(B)/obj/io/provenance.o: override CPPFLAGS += -DMIGE_REVISION=\"$(REVISION)\"
-include $(OBJ:.o=.d) $(TESTS:=.d)

$(B)/obj/score/exp.o: override CFLAGS += -ffast-math
