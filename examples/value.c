/* The value of mutual information: x normal, y = r x + sqrt(1 - r^2) e, for which I = -D/2 log(1 - r^2). */
#include <math.h>
#include <mige.h>

enum { M = 1000, D = 2 };

/* A row of v is a sample: the columns of x, then those of y. */
static int run(const mige_comm *c, double r, mige_mi_estimate *e) {
    static double v[M][2 * D], normal[M][2 * D];
    const int dims[] = {D, D};
    mige_mi_value_options o = mige_mi_value_defaults();
    mige_rng_normal(1, MIGE_RNG_SAMPLE, 0, 0, sizeof normal / sizeof **normal, *normal);
    for (int m = 0; m < M; m++)
        for (int d = 0; d < D; d++) {
            v[m][d] = normal[m][d];
            v[m][D + d] = r * normal[m][d] + sqrt(1 - r * r) * normal[m][D + d];
        }
    return mige_mi_value(c, M, 2, dims, *v, &o, NULL, e);
}

int main(int argc, char **argv) {
    mige_comm c;
    mige_mi_estimate e;
    double r = 0.6;
    MPI_Init(&argc, &argv);
    int err = mige_comm_create(MPI_COMM_WORLD, &c) || run(&c, r, &e);
    if (err && c.rank == 0) fprintf(stderr, "value: %s\n", mige_error());
    if (!err && c.rank == 0)
        printf("I %.6f +- %.6f nats, the truth %.6f\n", e.value, e.standard_error, -D / 2. * log(1 - r * r));
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
