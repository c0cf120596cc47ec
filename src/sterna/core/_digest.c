/* The digest of lines, as digest.py computes it: BLAKE2b (RFC 7693) of 16 bytes for each, added up modulo 2^128. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 128, SIZE = 16 };

static const uint64_t START[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static const uint8_t ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t turned(uint64_t word, int bits) { return (word >> bits) | (word << (64 - bits)); }

static inline uint64_t little(const uint8_t *at) {
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
}

static inline void mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = turned(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turned(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 63);
}

/* One round; its order is known to the compiler, so that all words stay in registers. */
#define TURN(round)                                                    \
    mix(v, 0, 4, 8, 12, m[ORDER[round][0]], m[ORDER[round][1]]);       \
    mix(v, 1, 5, 9, 13, m[ORDER[round][2]], m[ORDER[round][3]]);       \
    mix(v, 2, 6, 10, 14, m[ORDER[round][4]], m[ORDER[round][5]]);      \
    mix(v, 3, 7, 11, 15, m[ORDER[round][6]], m[ORDER[round][7]]);      \
    mix(v, 0, 5, 10, 15, m[ORDER[round][8]], m[ORDER[round][9]]);      \
    mix(v, 1, 6, 11, 12, m[ORDER[round][10]], m[ORDER[round][11]]);    \
    mix(v, 2, 7, 8, 13, m[ORDER[round][12]], m[ORDER[round][13]]);     \
    mix(v, 3, 4, 9, 14, m[ORDER[round][14]], m[ORDER[round][15]]);

static void compress(uint64_t *state, const uint8_t *block, uint64_t count, int last) {
    uint64_t m[16], v[16];
    for (int word = 0; word < 16; word++) m[word] = little(block + 8 * word);
    memcpy(v, state, 64);
    memcpy(v + 8, START, 64);
    v[12] ^= count;
    if (last) v[14] = ~v[14];
    TURN(0) TURN(1) TURN(2) TURN(3) TURN(4) TURN(5) TURN(6) TURN(7) TURN(8) TURN(9) TURN(0) TURN(1)
    for (int word = 0; word < 8; word++) state[word] ^= v[word] ^ v[word + 8];
}

/* The hash of a line, as the two halves of a number whose first byte is the most significant. */
static void hash(const uint8_t *line, size_t length, uint64_t *high, uint64_t *low) {
    uint64_t state[8], count = 0;
    uint8_t rest[BLOCK] = {0};
    memcpy(state, START, 64);
    state[0] ^= 0x01010000u ^ SIZE;
    while (length > BLOCK) {
        count += BLOCK;
        compress(state, line, count, 0);
        line += BLOCK;
        length -= BLOCK;
    }
    memcpy(rest, line, length);
    compress(state, rest, count + length, 1);
    uint64_t halves[2] = {0, 0};
    for (int word = 0; word < 2; word++)
        for (int byte = 0; byte < 8; byte++) halves[word] = (halves[word] << 8) | ((state[word] >> (8 * byte)) & 0xff);
    *high = halves[0];
    *low = halves[1];
}

static inline void add(uint64_t one, uint64_t other, uint64_t *high, uint64_t *low) {
    *low += other;
    *high += one + (*low < other);
}

/* ---- Several lines at once ---- */

/* A processor with AVX2 works on four words of 64 bits in one step: four lines go side by side, each in its lane. */
#if defined(__x86_64__) && defined(__GNUC__)
#define LANES 4

typedef uint64_t Words __attribute__((vector_size(8 * LANES)));
typedef uint8_t Octets __attribute__((vector_size(8 * LANES)));
typedef uint32_t Halves __attribute__((vector_size(8 * LANES)));

#define TURNED_32(x) ((Words)__builtin_shuffle((Halves)(x), (Halves){1, 0, 3, 2, 5, 4, 7, 6}))
#define TURNED_24(x)                                                                                          \
    ((Words)__builtin_shuffle((Octets)(x), (Octets){3,  4,  5,  6,  7,  0,  1,  2,  11, 12, 13, 14, 15, 8,  9,  10, \
                                                    19, 20, 21, 22, 23, 16, 17, 18, 27, 28, 29, 30, 31, 24, 25, 26}))
#define TURNED_16(x)                                                                                          \
    ((Words)__builtin_shuffle((Octets)(x), (Octets){2,  3,  4,  5,  6,  7,  0,  1,  10, 11, 12, 13, 14, 15, 8,  9,  \
                                                    18, 19, 20, 21, 22, 23, 16, 17, 26, 27, 28, 29, 30, 31, 24, 25}))
#define MIX_ALL(a, b, c, d, x, y)                 \
    do {                                          \
        v[a] += v[b] + (x);                       \
        v[d] = TURNED_32(v[d] ^ v[a]);            \
        v[c] += v[d];                             \
        v[b] = TURNED_24(v[b] ^ v[c]);            \
        v[a] += v[b] + (y);                       \
        v[d] = TURNED_16(v[d] ^ v[a]);            \
        v[c] += v[d];                             \
        Words odd = v[b] ^ v[c];                  \
        v[b] = (odd + odd) | (odd >> 63);         \
    } while (0)
#define TURN_ALL(round)                                                   \
    MIX_ALL(0, 4, 8, 12, m[ORDER[round][0]], m[ORDER[round][1]]);         \
    MIX_ALL(1, 5, 9, 13, m[ORDER[round][2]], m[ORDER[round][3]]);         \
    MIX_ALL(2, 6, 10, 14, m[ORDER[round][4]], m[ORDER[round][5]]);        \
    MIX_ALL(3, 7, 11, 15, m[ORDER[round][6]], m[ORDER[round][7]]);        \
    MIX_ALL(0, 5, 10, 15, m[ORDER[round][8]], m[ORDER[round][9]]);        \
    MIX_ALL(1, 6, 11, 12, m[ORDER[round][10]], m[ORDER[round][11]]);      \
    MIX_ALL(2, 7, 8, 13, m[ORDER[round][12]], m[ORDER[round][13]]);       \
    MIX_ALL(3, 4, 9, 14, m[ORDER[round][14]], m[ORDER[round][15]]);

typedef struct {
    const uint8_t *line; /* what is left of it; NULL: the lane has none */
    size_t length;
    uint64_t count;
    uint8_t rest[BLOCK];
} Lane;

/* The next whole line, or none. */
static int next_line(Lane *lane, const uint8_t **at, const uint8_t *limit) {
    const uint8_t *end = *at < limit ? memchr(*at, '\n', (size_t)(limit - *at)) : NULL;
    lane->line = end ? *at : NULL;
    if (!end) return 0;
    lane->length = (size_t)(end - *at);
    lane->count = 0;
    *at = end + 1;
    return 1;
}

__attribute__((target("avx2"))) static const uint8_t *side_by_side(
    const uint8_t *at, const uint8_t *limit, uint64_t *high, uint64_t *low, Py_ssize_t *rows) {
    Lane lanes[LANES] = {{0}};
    Words state[8];
    const Words zero = {0};
    for (int word = 0; word < 8; word++) state[word] = zero + START[word];
    state[0] ^= 0x01010000u ^ SIZE;
    int busy = 0;
    for (int lane = 0; lane < LANES; lane++) busy += next_line(&lanes[lane], &at, limit);
    while (busy) {
        const uint8_t *blocks[LANES];
        int last[LANES];
        Words m[16], v[16], counts = zero, ends = zero;
        for (int lane = 0; lane < LANES; lane++) {
            Lane *one = &lanes[lane];
            last[lane] = one->line && one->length <= BLOCK;
            blocks[lane] = one->line && !last[lane] ? one->line : one->rest;
            if (last[lane]) {
                memset(one->rest, 0, BLOCK);
                memcpy(one->rest, one->line, one->length);
            } else if (!one->line) memset(one->rest, 0, BLOCK);
            one->count += last[lane] ? one->length : BLOCK;
            counts[lane] = one->count;
            ends[lane] = last[lane] ? ~(uint64_t)0 : 0;
        }
        for (int word = 0; word < 16; word++)
            m[word] = (Words){little(blocks[0] + 8 * word), little(blocks[1] + 8 * word), little(blocks[2] + 8 * word),
                              little(blocks[3] + 8 * word)};
        for (int word = 0; word < 8; word++) {
            v[word] = state[word];
            v[8 + word] = zero + START[word];
        }
        v[12] ^= counts;
        v[14] ^= ends;
        TURN_ALL(0) TURN_ALL(1) TURN_ALL(2) TURN_ALL(3) TURN_ALL(4) TURN_ALL(5)
        TURN_ALL(6) TURN_ALL(7) TURN_ALL(8) TURN_ALL(9) TURN_ALL(0) TURN_ALL(1)
        for (int word = 0; word < 8; word++) state[word] ^= v[word] ^ v[word + 8];
        for (int lane = 0; lane < LANES; lane++) {
            Lane *one = &lanes[lane];
            if (!one->line) continue;
            if (!last[lane]) {
                one->line += BLOCK;
                one->length -= BLOCK;
                continue;
            }
            add(__builtin_bswap64(state[0][lane]), __builtin_bswap64(state[1][lane]), high, low);
            ++*rows;
            for (int word = 0; word < 8; word++) state[word][lane] = START[word];
            state[0][lane] ^= 0x01010000u ^ SIZE;
            busy -= !next_line(one, &at, limit);
        }
    }
    return at;
}

static int has_lanes(void) { return __builtin_cpu_supports("avx2"); }
#else
static const uint8_t *side_by_side(
    const uint8_t *at, const uint8_t *limit, uint64_t *high, uint64_t *low, Py_ssize_t *rows) {
    (void)limit, (void)high, (void)low, (void)rows;
    return at;
}

static int has_lanes(void) { return 0; }
#endif

PyDoc_STRVAR(lines_doc, "lines(data) -> (rows, sum as 16 bytes, bytes that are left after the last line)");

static PyObject *lines(PyObject *module, PyObject *argument) {
    (void)module;
    Py_buffer data;
    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) return NULL;
    uint64_t high = 0, low = 0;
    Py_ssize_t rows = 0, at = 0;
    Py_BEGIN_ALLOW_THREADS
    const uint8_t *bytes = data.buf;
    if (has_lanes()) at = side_by_side(bytes, bytes + data.len, &high, &low, &rows) - bytes;
    while (at < data.len) {
        const uint8_t *end = memchr(bytes + at, '\n', (size_t)(data.len - at));
        if (end == NULL) break;
        uint64_t one, other;
        hash(bytes + at, (size_t)(end - (bytes + at)), &one, &other);
        add(one, other, &high, &low);
        rows++;
        at = end - bytes + 1;
    }
    Py_END_ALLOW_THREADS
    Py_ssize_t left = data.len - at;
    PyBuffer_Release(&data);
    uint8_t sum[SIZE];
    for (int byte = 0; byte < 8; byte++) {
        sum[byte] = (uint8_t)(high >> (56 - 8 * byte));
        sum[8 + byte] = (uint8_t)(low >> (56 - 8 * byte));
    }
    return Py_BuildValue("ny#n", rows, (const char *)sum, (Py_ssize_t)SIZE, left);
}

static PyMethodDef METHODS[] = {{"lines", lines, METH_O, lines_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_digest", "Digests of lines, without Python's own pace.", -1, METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__digest(void) { return PyModule_Create(&MODULE); }
