/* Files of other kinds, told by their first bytes, so that a message can name them. */
#include "mige/io.h"
#include <string.h>
#include <strings.h>

#define STARTS(text, what)                                                                                         \
    { text, sizeof text - 1, what }
static const struct {
    const char *bytes;
    size_t n;
    const char *kind;
} kinds[] = {
    STARTS("\x89HDF\r\n\x1a\n", "an HDF5 file"),
    STARTS("\x93NUMPY", "a .npy file of NumPy (give it a name that ends in .npy)"),
    STARTS("PK\x03\x04", "a zip archive: .npz, .xlsx or PyTorch's? (save one array as .npy or in HDF5)"),
    STARTS("\x1f\x8b", "a gzipped file (gunzip it first)"),
    STARTS("BZh", "a file compressed by bzip2 (unpack it first)"),
    STARTS("\xfd"
           "7zXZ",
           "a file compressed by xz (unpack it first)"),
    STARTS("\x28\xb5\x2f\xfd", "a file compressed by zstd (unpack it first)"),
    STARTS("\x80\x02", "a pickle of Python (save the array as .npy or in HDF5)"),
    STARTS("\x80\x03", "a pickle of Python (save the array as .npy or in HDF5)"),
    STARTS("\x80\x04", "a pickle of Python (save the array as .npy or in HDF5)"),
    STARTS("\x80\x05", "a pickle of Python (save the array as .npy or in HDF5)"),
    STARTS("CDF\x01", "a netCDF classic file (nccopy -k netCDF-4 OLD NEW)"),
    STARTS("CDF\x02", "a netCDF classic file (nccopy -k netCDF-4 OLD NEW)"),
    STARTS("CDF\x05", "a netCDF classic file (nccopy -k netCDF-4 OLD NEW)"),
    STARTS("\x0e\x03\x13\x01", "an HDF4 file (h4toh5 OLD NEW)"),
    STARTS("MATLAB 5.0", "a MATLAB file of the old format (save it with -v7.3)"),
    STARTS("SIMPLE  =", "a FITS file (save the array as .npy or in HDF5)"),
    STARTS("PAR1", "a Parquet file (save the array as .npy or in HDF5)"),
    STARTS("ARROW1", "an Arrow or Feather file (save the array as .npy or in HDF5)"),
    STARTS("SQLite format 3", "an SQLite file (export a .csv)"),
    STARTS("\x89PNG", "a PNG picture (pictures: mige convert --format folder)"),
    STARTS("\xff\xd8\xff", "a JPEG picture (pictures: mige convert --format folder)"),
    STARTS("GIF8", "a GIF picture"),
    STARTS("%PDF", "a PDF file"),
    STARTS("\x7f"
           "ELF",
           "a program"),
    STARTS("version https://git-lfs", "only a pointer of Git LFS (git lfs pull)"),
    STARTS("<!doctype html", "a web page: the download failed (fetch it again)"),
    STARTS("<html", "a web page: the download failed (fetch it again)"),
    STARTS("<?xml", "an XML file: the download failed? (fetch it again)"),
};

const char *mige_bytes_kind(const void *bytes, size_t size) {
    static const char archive[] = "a tar archive (unpack it first)";
    const char *text = bytes;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].n && !strncasecmp(text, kinds[i].bytes, kinds[i].n)) return kinds[i].kind;
    return size >= 262 && !memcmp(text + 257, "ustar", 5) ? archive : NULL;
}
