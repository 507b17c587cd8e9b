/* np: 1 */
/* The official formats, read and refused, and samples of what they hold. */
#include "folder.h"
#include "mige/data.h"
#include "mige/io.h"
#include <libdeflate.h>
#include <sys/stat.h>

enum { RECORD = 3073 };

static uint8_t pixel(size_t i) {
    return (uint8_t)(i * 2654435761u >> 11);
}

/* ---- official files, made in memory ---- */

static size_t make_idx_images(uint8_t *b, int n, int h, int w) {
    uint8_t head[16] = {0, 0, 8, 3, 0, 0, 0, (uint8_t)n, 0, 0, 0, (uint8_t)h, 0, 0, 0, (uint8_t)w};
    memcpy(b, head, 16);
    for (int i = 0; i < n * h * w; i++) b[16 + i] = pixel((size_t)i);
    return (size_t)(16 + n * h * w);
}

static size_t make_idx_labels(uint8_t *b, int n) {
    uint8_t head[8] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)n};
    memcpy(b, head, 8);
    for (int i = 0; i < n; i++) b[8 + i] = (uint8_t)(i * 7 % 10);
    return (size_t)(8 + n);
}

static size_t make_cifar(uint8_t *b, int n, int label_bytes, int classes) {
    for (int i = 0; i < n; i++) {
        uint8_t *r = b + i * (RECORD + label_bytes - 1);
        if (label_bytes == 2) *r++ = (uint8_t)(i % 20);
        *r++ = (uint8_t)(i * 3 % classes);
        for (int k = 0; k < 3072; k++) r[k] = pixel((size_t)(3072 * i + k));
    }
    return (size_t)(n * (RECORD + label_bytes - 1));
}

static size_t gzip(const uint8_t *b, size_t size, uint8_t *out, size_t room) {
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
    size_t zipped = libdeflate_gzip_compress(c, b, size, out, room);
    assert_true(zipped > 0);
    libdeflate_free_compressor(c);
    return zipped;
}

/* Memory of exactly `size` bytes, so that valgrind and sanitizers see a read behind it. */
static uint8_t *exact(const uint8_t *b, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, b, size);
    return copy;
}

static int parse_images(const uint8_t *b, size_t size) {
    mige_images m;
    uint8_t *copy = exact(b, size);
    int err = mige_parse_idx_images(copy, size, &m);
    mige_images_free(&m);
    free(copy);
    return err;
}

static int parse_labels(const uint8_t *b, size_t size, int64_t n) {
    mige_images m = {0};
    uint8_t *copy = exact(b, size);
    m.n = n;
    int err = mige_parse_idx_labels(copy, size, &m);
    mige_images_free(&m);
    free(copy);
    return err;
}

static int parse_cifar(const uint8_t *b, size_t size, int label_bytes, int classes) {
    mige_images m;
    uint8_t *copy = exact(b, size);
    int err = mige_parse_cifar(copy, size, label_bytes, classes, &m);
    mige_images_free(&m);
    free(copy);
    return err;
}

static void test_idx(void **state) {
    (void)state;
    uint8_t b[1000], z[2000];
    mige_images m;
    size_t n = make_idx_images(b, 5, 4, 3);
    assert_int_equal(mige_parse_idx_images(b, n, &m), 0);
    assert_true(m.n == 5 && m.c == 1 && m.h == 4 && m.w == 3);
    for (size_t i = 0; i < 60; i++) assert_int_equal(m.images[i], pixel(i));
    n = make_idx_labels(b, 5);
    assert_int_equal(mige_parse_idx_labels(b, n, &m), 0);
    static const int32_t labels[] = {0, 7, 4, 1, 8};
    assert_memory_equal(m.labels, labels, sizeof labels);
    /* gzip is known by its first bytes. */
    size_t zipped = gzip(b, n, z, sizeof z);
    assert_int_equal(mige_parse_idx_labels(z, zipped, &m), 0);
    assert_memory_equal(m.labels, labels, sizeof labels);
    mige_images_free(&m);
    n = make_idx_images(b, 5, 4, 3);
    zipped = gzip(b, n, z, sizeof z);
    assert_int_equal(mige_parse_idx_images(z, zipped, &m), 0);
    for (size_t i = 0; i < 60; i++) assert_int_equal(m.images[i], pixel(i));
    mige_images_free(&m);
}

static void test_idx_damage(void **state) {
    (void)state;
    uint8_t b[1000], z[2000];
    size_t n = make_idx_images(b, 5, 4, 3), zipped = gzip(b, n, z, sizeof z), undamaged = 0;
    for (size_t i = 0; i < n; i++) assert_int_equal(parse_images(b, i), MIGE_EINPUT);
    for (size_t i = 0; i < zipped; i++) assert_int_equal(parse_images(z, i), MIGE_EINPUT);
    z[zipped] = b[n] = 0;
    assert_raised(parse_images(b, n + 1), MIGE_EINPUT, "61 bytes follow the header, its dimensions ask for 60");
    assert_raised(parse_images(z, zipped + 1), MIGE_EINPUT, "bytes follow its end");
    memcpy(z + zipped, z + zipped - 4, 4); /* the size once more, where it is looked for */
    assert_raised(parse_images(z, zipped + 4), MIGE_EINPUT, "bytes follow its end");
    for (size_t i = 0; i < zipped; i++)
        for (int bit = 0; bit < 8; bit++) {
            z[i] ^= (uint8_t)(1 << bit);
            mige_images m; /* time, system and the last bits before the sum may be anything */
            int err = mige_parse_idx_images(z, zipped, &m);
            assert_true(err == MIGE_EINPUT || err == 0);
            if (!err) assert_memory_equal(m.images, b + 16, 60);
            mige_images_free(&m);
            undamaged += !err;
            z[i] ^= (uint8_t)(1 << bit);
        }
    assert_in_range(undamaged, 0, 7 * 8 + 7);
    for (size_t i = 0; i < 16; i++)
        for (int v = 0; v < 256; v++) {
            uint8_t was = b[i];
            b[i] = (uint8_t)v;
            assert_int_equal(parse_images(b, n), v == was ? 0 : MIGE_EINPUT);
            b[i] = was;
        }
    n = make_idx_labels(b, 5);
    for (size_t i = 0; i < n; i++) assert_int_equal(parse_labels(b, i, 5), MIGE_EINPUT);
    assert_raised(parse_labels(b, n, 6), MIGE_EINPUT, "5 labels for 6 images");
    assert_raised(parse_images(b, n), MIGE_EINPUT, "0x00000801 instead of 0x00000803");
    b[11] = 10;
    assert_raised(parse_labels(b, n, 5), MIGE_EINPUT, "label 10 of record 3 is not within 0 to 9");
}

static void test_cifar(void **state) {
    (void)state;
    static uint8_t b[4 * (RECORD + 1)];
    mige_images m;
    size_t n = make_cifar(b, 4, 1, 10);
    assert_int_equal(mige_parse_cifar(b, n, 1, 10, &m), 0);
    assert_true(m.n == 4 && m.c == 3 && m.h == 32 && m.w == 32);
    static const int32_t labels[] = {0, 3, 6, 9};
    assert_memory_equal(m.labels, labels, sizeof labels);
    for (size_t i = 0; i < 4 * 3072; i++) assert_int_equal(m.images[i], pixel(i));
    mige_images_free(&m);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(parse_cifar(b, i, 1, 10), i && i % RECORD == 0 ? 0 : MIGE_EINPUT);
    b[2 * RECORD] = 10;
    assert_raised(parse_cifar(b, n, 1, 10), MIGE_EINPUT, "label 10 of record 2 is not within 0 to 9");
    n = make_cifar(b, 4, 2, 100);
    assert_int_equal(mige_parse_cifar(b, n, 2, 100, &m), 0);
    assert_int_equal(m.labels[3], 9);
    for (size_t i = 0; i < 4 * 3072; i++) assert_int_equal(m.images[i], pixel(i));
    mige_images_free(&m);
    b[0] = 20;
    assert_raised(parse_cifar(b, n, 2, 100), MIGE_EINPUT, "coarse label 20 of record 0");
}

/* ---- folders ---- */

static int convert(const char *format, const char *from, mige_images *train, mige_images *test, char ***names) {
    int classes;
    mige_convert_request q = {.format = format, .from = from, .output = ""};
    return mige_convert_read(&q, train, test, &classes, names);
}

static void free_all(mige_images *train, mige_images *test, char **names) {
    mige_images_free(train);
    mige_images_free(test);
    free(names);
}

static void test_mnist_folder(void **state) {
    (void)state;
    static uint8_t b[20000], z[20000];
    mige_images train, test;
    char **names, from[PATH];
    snprintf(from, sizeof from, "%s", in_folder("mnist"));
    assert_raised(convert("mnist", from, &train, &test, &names), MIGE_EINPUT, "is not a folder");
    assert_int_equal(mkdir(from, 0777), 0);
    assert_raised(convert("mnist", from, &train, &test, &names), MIGE_EINPUT, "train-images-idx3-ubyte");
    /* One of each way that they are named. */
    size_t n = make_idx_images(b, 20, 28, 28);
    spill(in_folder("mnist/train-images.idx3-ubyte"), b, n);
    n = make_idx_labels(b, 20);
    spill(in_folder("mnist/train-labels-idx1-ubyte.gz"), z, gzip(b, n, z, sizeof z));
    n = make_idx_images(b, 11, 28, 28);
    spill(in_folder("mnist/t10k-images.idx3-ubyte.gz"), z, gzip(b, n, z, sizeof z));
    n = make_idx_labels(b, 11);
    spill(in_folder("mnist/t10k-labels-idx1-ubyte"), b, n);
    assert_int_equal(convert("mnist", from, &train, &test, &names), 0);
    assert_true(train.n == 20 && test.n == 11 && train.h == 28 && test.c == 1);
    assert_int_equal(test.labels[3], 1);
    assert_string_equal(names[9], "9");
    free_all(&train, &test, names);
    /* From the folder above too. */
    assert_int_equal(convert("mnist", folder, &train, &test, &names), 0);
    free_all(&train, &test, names);
    b[9] = 11;
    spill(in_folder("mnist/t10k-labels-idx1-ubyte"), b, n);
    assert_raised(convert("mnist", from, &train, &test, &names), MIGE_EINPUT,
                  "mnist/t10k-labels-idx1-ubyte: IDX: label 11");
    assert_true(train.images == NULL && test.labels == NULL && names == NULL);
    n = make_idx_images(b, 11, 20, 20);
    spill(in_folder("mnist/t10k-images.idx3-ubyte.gz"), b, n); /* not gzip whatever its name */
    assert_raised(convert("mnist", from, &train, &test, &names), MIGE_EINPUT, "20 x 20");
    assert_raised(convert("svhn", from, &train, &test, &names), MIGE_EUSAGE, "`svhn` is unknown");
}

static void test_cifar_folder(void **state) {
    (void)state;
    static uint8_t b[20 * (RECORD + 1)];
    mige_images train, test;
    char **names, from[PATH], name[80];
    snprintf(from, sizeof from, "%s", in_folder("cifar"));
    assert_int_equal(mige_make_folder(in_folder("cifar/cifar-10-batches-bin")), 0);
    size_t n = make_cifar(b, 6, 1, 10);
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "cifar/cifar-10-batches-bin/data_batch_%d.bin", i);
        b[0] = (uint8_t)i;
        spill(in_folder(name), b, n);
    }
    assert_raised(convert("cifar10", from, &train, &test, &names), MIGE_EINPUT, "test_batch.bin");
    spill(in_folder("cifar/cifar-10-batches-bin/test_batch.bin"), b, 2 * RECORD);
    assert_int_equal(convert("cifar10", from, &train, &test, &names), 0);
    assert_true(train.n == 30 && test.n == 2);
    for (int i = 0; i < 5; i++) assert_int_equal(train.labels[6 * i], i + 1);
    assert_memory_equal(train.images + 4 * 6 * 3072, train.images, 6 * 3072);
    assert_string_equal(names[3], "cat");
    free_all(&train, &test, names);
    spill(in_folder("cifar/cifar-10-batches-bin/batches.meta.txt"), "a\nb\r\nc\nd\ne\nf\ng\nh\ni\nj\n\n", 22);
    assert_int_equal(convert("cifar10", from, &train, &test, &names), 0);
    assert_string_equal(names[1], "b");
    assert_string_equal(names[9], "j");
    free_all(&train, &test, names);
    spill(in_folder("cifar/cifar-10-batches-bin/batches.meta.txt"), "a\nb\n", 4);
    assert_raised(convert("cifar10", from, &train, &test, &names), MIGE_EINPUT, "has 2 names instead of 10");
    spill(in_folder("cifar/cifar-10-batches-bin/data_batch_4.bin"), b, 5 * RECORD);
    assert_raised(convert("cifar10", from, &train, &test, &names), MIGE_EINPUT, "data_batch_4.bin has 5 records");
    spill(in_folder("cifar/cifar-10-batches-bin/data_batch_4.bin"), b, 4 * RECORD + 1);
    assert_raised(convert("cifar10", from, &train, &test, &names), MIGE_EINPUT, "data_batch_4.bin: CIFAR");
    n = make_cifar(b, 20, 2, 100);
    spill(in_folder("cifar/train.bin"), b, n);
    spill(in_folder("cifar/test.bin"), b, n / 2);
    assert_int_equal(convert("cifar100", from, &train, &test, &names), 0);
    assert_true(train.n == 20 && test.n == 10 && train.labels[19] == 57);
    assert_string_equal(names[99], "99");
    free_all(&train, &test, names);
}

/* ---- subsets ---- */

static void new_images(mige_images *m, int64_t n, int classes) {
    *m = (mige_images){n, 1, 2, 2, calloc((size_t)n, 4), calloc((size_t)n, 4)};
    for (int64_t i = 0; i < n; i++) {
        m->labels[i] = (int32_t)((i * i + i / 3) % classes);
        memcpy(m->images + 4 * i, &(uint32_t){(uint32_t)i}, 4);
    }
}

static void test_sample(void **state) {
    (void)state;
    enum { N = 1000, KEEP = 203, CLASSES = 5 };
    mige_images m, full, other;
    new_images(&full, N, CLASSES);
    new_images(&m, N, CLASSES);
    new_images(&other, N, CLASSES);
    int have[CLASSES] = {0};
    for (int i = 0; i < N; i++) have[full.labels[i]]++;
    for (int k = 0; k < CLASSES; k++) assert_true(have[k] > KEEP / CLASSES);
    assert_int_equal(mige_convert_sample(&m, CLASSES, KEEP, 1), 0);
    assert_int_equal(m.n, KEEP);
    int count[CLASSES] = {0};
    int64_t last = -1;
    for (int i = 0; i < KEEP; i++) {
        uint32_t from;
        memcpy(&from, m.images + 4 * i, 4);
        assert_true((int64_t)from > last); /* the set's order */
        last = from;
        assert_int_equal(m.labels[i], full.labels[from]);
        count[m.labels[i]]++;
    }
    static const int share[CLASSES] = {41, 41, 41, 40, 40};
    assert_memory_equal(count, share, sizeof share);
    assert_int_equal(mige_convert_sample(&other, CLASSES, KEEP, 2), 0);
    assert_memory_not_equal(other.images, m.images, 4 * KEEP);
    assert_int_equal(mige_convert_sample(&m, CLASSES, 0, 1), 0);
    assert_int_equal(mige_convert_sample(&m, CLASSES, KEEP, 1), 0);
    assert_int_equal(m.n, KEEP);
    assert_raised(mige_convert_sample(&m, CLASSES, KEEP + 1, 1), MIGE_EUSAGE, "204 images");
    assert_raised(mige_convert_sample(&m, CLASSES, -1, 1), MIGE_EUSAGE, "-1 images");
    for (int i = 0; i < N; i++) full.labels[i] = i < N - 3 ? 0 : 1;
    assert_raised(mige_convert_sample(&full, 2, 10, 1), MIGE_EUSAGE, "class 1 has 2 images too few");
    mige_images_free(&m);
    mige_images_free(&full);
    mige_images_free(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),          cmocka_unit_test(test_idx_damage),   cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_mnist_folder), cmocka_unit_test(test_cifar_folder), cmocka_unit_test(test_sample),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
