/* Scores of a matrix: mpirun -np 3 ./score FILE M D, a file of M x D doubles, prints the score at each row. */
#include <mige.h>
#include <stdlib.h>

/* Every rank has the whole matrix. */
static int run(const mige_comm *c, const char *path, int M, int D) {
    size_t n = (size_t)M * (size_t)D;
    double *X = malloc(n * sizeof *X), *S = malloc(n * sizeof *S);
    FILE *f = fopen(path, "rb");
    mige_score *score = NULL;
    mige_score_options o = mige_score_defaults();
    o.estimator = MIGE_ESTIMATOR_STEIN;
    int mine = X && S && f && fread(X, sizeof *X, n, f) == n ? MIGE_OK : MIGE_EINPUT;
    int err = mige_agree(c, mine); /* a rank that failed alone must not leave the others waiting */
    if (!err) err = mige_score_create(c, M, D, &o, &score);
    if (!err) err = mige_score_samples(score, X, S);
    for (size_t i = 0; !err && c->rank == 0 && i < n; i++)
        printf("%.15g%c", S[i], (i + 1) % (size_t)D ? ' ' : '\n');
    if (err && c->rank == 0) fprintf(stderr, "score: %s: %s\n", path, mine ? "cannot be read" : mige_error());
    mige_score_destroy(&score);
    if (f) fclose(f);
    free(X);
    free(S);
    return err;
}

int main(int argc, char **argv) {
    mige_comm c;
    MPI_Init(&argc, &argv);
    int err = mige_comm_create(MPI_COMM_WORLD, &c) || argc != 4 || run(&c, argv[1], atoi(argv[2]), atoi(argv[3]));
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
