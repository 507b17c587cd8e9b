/* The gradient of mutual information: x normal, y = r x + sqrt(1 - r^2) e, for which dI/dr = D r / (1 - r^2). */
#include <math.h>
#include <mige.h>

enum { M = 1000, D = 4 };

static int run(const mige_comm *c, double r, double *slope) {
    static double x[M * D], e[M * D], y[M * D], dy[M * D];
    const mige_mi_variable variables[] = {{"x", D, 0}, {"y", D, 1}}; /* dI/dy is wanted */
    const mige_mi_pair pair = {0, 1};
    const double *values[] = {x, y};
    double *gradients[] = {NULL, dy};
    mige_mi *mi = NULL;
    mige_score_options o = mige_score_defaults();
    o.estimator = MIGE_ESTIMATOR_STEIN;
    o.calibrate = MIGE_CALIBRATE_STEIN;
    mige_rng_normal(1, MIGE_RNG_SAMPLE, 0, 0, M * D, x);
    mige_rng_normal(1, MIGE_RNG_SAMPLE, 1, 0, M * D, e);
    for (int i = 0; i < M * D; i++) y[i] = r * x[i] + sqrt(1 - r * r) * e[i];
    int err = mige_mi_create(c, M, 2, variables, 1, &pair, &o, &mi);
    if (!err) err = mige_mi_gradient(mi, values, gradients);
    *slope = 0; /* the chain rule: dI/dr = sum of dI/dy dy/dr */
    for (int i = 0; i < M * D; i++) *slope += dy[i] * (x[i] - r / sqrt(1 - r * r) * e[i]);
    mige_mi_destroy(&mi);
    return err;
}

int main(int argc, char **argv) {
    mige_comm c;
    double slope = 0, r = 0.6;
    MPI_Init(&argc, &argv);
    int err = mige_comm_create(MPI_COMM_WORLD, &c) || run(&c, r, &slope);
    if (err && c.rank == 0) fprintf(stderr, "gradient: %s\n", mige_error());
    if (!err && c.rank == 0) printf("dI/dr %.6f, the truth %.6f\n", slope, D * r / (1 - r * r));
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
