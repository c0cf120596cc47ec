/* Unpacks one record of a compressed backup: LZ77 with Huffman codes, as [MS-XCA] 2.2 describes it; and the checksums of backups.
 *
 * Every read is compared with the end of the input and every write with the end of the output first.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { TABLE = 256, SYMBOLS = 512, LONGEST = 15, ALL = 1 << LONGEST, QUICK = 11 };

/* The codes of a record. Those of up to QUICK bits, nearly all that are met, are found in one small table. */
typedef struct {
    uint16_t quick[1 << QUICK];   /* by the first bits: symbol << 4 | length of its code; 0: a longer one */
    uint32_t end[LONGEST + 1];    /* by length: where its codes end, as numbers of 15 bits */
    uint32_t start[LONGEST + 1];  /* and where they begin */
    uint16_t first[LONGEST + 1];  /* and where its symbols begin in `symbols` */
    uint16_t symbols[SYMBOLS];    /* by length, then by number */
} Codes;

/* 0: the lengths are no complete code. */
static int read_codes(const unsigned char *lengths, Codes *codes) {
    uint32_t count[LONGEST + 1] = {0}, sum = 0;
    uint16_t place[LONGEST + 1], before = 0;
    for (int symbol = 0; symbol < SYMBOLS; symbol++) count[lengths[symbol / 2] >> (symbol & 1 ? 4 : 0) & 15]++;
    for (int length = 1; length <= LONGEST; length++) {
        codes->start[length] = sum;
        sum += count[length] << (LONGEST - length);
        codes->end[length] = sum;
        codes->first[length] = place[length] = before;
        before = (uint16_t)(before + count[length]);
    }
    if (sum != ALL) return 0;
    for (int symbol = 0; symbol < SYMBOLS; symbol++) {
        const int length = lengths[symbol / 2] >> (symbol & 1 ? 4 : 0) & 15;
        if (length) codes->symbols[place[length]++] = (uint16_t)symbol;
    }
    uint32_t at = 0;
    for (int length = 1; length <= QUICK; length++)
        for (uint32_t k = 0; k < count[length]; k++) {
            const uint16_t entry = (uint16_t)(codes->symbols[codes->first[length] + k] << 4 | length);
            for (uint32_t end = at + (1u << (QUICK - length)); at < end; at++) codes->quick[at] = entry;
        }
    memset(codes->quick + at, 0, ((1u << QUICK) - at) * sizeof *codes->quick);
    return 1;
}

/* The symbol that 15 bits begin with, << 4 | the length of its code, which is longer than QUICK. */
static uint16_t long_code(const Codes *codes, uint32_t bits) {
    int length = QUICK + 1;
    while (bits >= codes->end[length]) length++;
    const uint32_t number = (bits - codes->start[length]) >> (LONGEST - length);
    return (uint16_t)(codes->symbols[codes->first[length] + number] << 4 | length);
}

/* Returns what is wrong, or NULL. */
static const char *unpack(const unsigned char *in, Py_ssize_t in_size, unsigned char *out, Py_ssize_t out_size,
                          Codes *codes) {
    if (in_size < TABLE) return "the code table is cut";
    if (!read_codes(in, codes)) return "the code table is no complete code";
    Py_ssize_t at = TABLE, done = 0;
    uint32_t bits = 0;
    int spare = 16, beyond = 0; /* bits that are loaded beyond 16; words taken from behind the end, as zeros */
#define WORD(into)                                                          \
    uint32_t into = 0;                                                      \
    if (in_size - at >= 2) into = (uint32_t)(in[at] | in[at + 1] << 8);     \
    else if (++beyond > 2) return "the data are cut";                       \
    at += 2;
#define TAKE(n)                               \
    do {                                      \
        bits <<= (n);                         \
        spare -= (n);                         \
        if (spare < 0) {                      \
            WORD(word_)                       \
            bits |= word_ << -spare;          \
            spare += 16;                      \
        }                                     \
    } while (0)
    WORD(first)
    WORD(second)
    bits = first << 16 | second;
    while (done < out_size) {
        uint16_t entry = codes->quick[bits >> (32 - QUICK)];
        if (!entry) entry = long_code(codes, bits >> (32 - LONGEST));
        const int symbol = entry >> 4;
        TAKE(entry & 15);
        if (symbol < 256) {
            out[done++] = (unsigned char)symbol;
            continue;
        }
        Py_ssize_t length = symbol & 15;
        const int offset_bits = symbol >> 4 & 15;
        if (length == 15) {
            if (at >= in_size) return "the data are cut";
            length = in[at++];
            if (length < 255) length += 15;
            else {
                if (in_size - at < 2) return "the data are cut";
                length = in[at] | in[at + 1] << 8;
                at += 2;
                if (length == 0) {
                    if (in_size - at < 4) return "the data are cut";
                    length = (Py_ssize_t)((uint32_t)in[at] | (uint32_t)in[at + 1] << 8 | (uint32_t)in[at + 2] << 16 |
                                          (uint32_t)in[at + 3] << 24);
                    at += 4;
                }
            }
        }
        length += 3;
        Py_ssize_t offset = (Py_ssize_t)1 << offset_bits;
        if (offset_bits) {
            offset += (Py_ssize_t)(bits >> (32 - offset_bits));
            TAKE(offset_bits);
        }
        if (offset > done) return "a match begins before the data do";
        if (length > out_size - done) return "a match ends behind the data";
        const unsigned char *from = out + done - offset;
        unsigned char *to = out + done;
        done += length;
        if (offset >= length) memcpy(to, from, (size_t)length);
        else while (length--) *to++ = *from++;
    }
    return NULL;
}

static PyObject *py_unpack(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer in;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y*n", &in, &size)) return NULL;
    PyObject *result = size < 0 ? NULL : PyBytes_FromStringAndSize(NULL, size);
    Codes codes;
    const char *wrong = "the size is negative";
    if (result) {
        unsigned char *out = (unsigned char *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        wrong = unpack(in.buf, in.len, out, size, &codes);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&in);
    if (result && !wrong) return result;
    Py_XDECREF(result);
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, wrong);
    return NULL;
}

static PyObject *py_checksum(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer in;
    if (!PyArg_ParseTuple(args, "y*", &in)) return NULL;
    const unsigned char *data = in.buf;
    uint32_t sum = 0;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t at = 0; at < in.len; at += 4) {
        uint32_t word = 0;
        for (Py_ssize_t k = 0; k < 4 && at + k < in.len; k++) word |= (uint32_t)data[at + k] << (8 * k);
        sum = (sum << 1 | sum >> 31) ^ word;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&in);
    return PyLong_FromUnsignedLong(sum);
}

static PyObject *py_sectors(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer in;
    unsigned long start;
    if (!PyArg_ParseTuple(args, "y*k", &in, &start)) return NULL;
    const unsigned char *data = in.buf;
    uint32_t sum = (uint32_t)start;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t at = 0; at < in.len; at += 512) {
        uint32_t folded = 0, word = 0;
        const Py_ssize_t end = in.len - at < 512 ? in.len : at + 512;
        Py_ssize_t k = at;
        for (; end - k >= 4; k += 4)
            folded ^= (uint32_t)data[k] | (uint32_t)data[k + 1] << 8 | (uint32_t)data[k + 2] << 16 | (uint32_t)data[k + 3] << 24;
        for (int shift = 0; k < end; k++, shift += 8) word |= (uint32_t)data[k] << shift;
        sum = (sum << 1 | sum >> 31) ^ folded ^ word;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&in);
    return PyLong_FromUnsignedLong(sum);
}

static PyMethodDef methods[] = {
    {"unpack", py_unpack, METH_VARARGS, "unpack(data, size) -> bytes; ValueError says what is wrong"},
    {"checksum", py_checksum, METH_VARARGS, "checksum(data) -> int"},
    {"sectors", py_sectors, METH_VARARGS, "sectors(data, sum) -> int: the sum, gone on with these sectors of 512 bytes"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_xpress", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__xpress(void) { return PyModule_Create(&module); }
