/* The parts of the RDB walk that are worth compiling: checksum, LZF, skipping, and the loop that turns records into
 * RESTORE commands.
 *
 * The input comes from outside: every read is compared with the end of the buffer first, every length with what is left,
 * and nothing is allocated because a length says so. This file never judges: whatever it does not understand, it leaves
 * at that record for the Python code, which finds the same place and says what is wrong. The two give the same bytes.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MOST_LENGTH ((uint64_t)1 << 40)
#define MOST_KEY ((uint64_t)64 << 20)
#define MOST_COMPRESSED_KEY ((uint64_t)64 << 10)
#define MOST_GROWTH 88
#define MOST_LOOPS 6
#define MOST_TTL INT64_MAX
#define UNHELD_FROM (INT64_C(1) << 52)
#define FIRST_OPCODE 242

/* Checksum: Jones' polynomial, reflected, eight bytes at a time. */

static uint64_t crc_table[8][256];

static void crc_prepare(void) {
    for (unsigned n = 0; n < 256; n++) {
        uint64_t crc = n;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x95ac9329ac4bc9b5ULL : crc >> 1;
        crc_table[0][n] = crc;
    }
    for (unsigned n = 0; n < 256; n++)
        for (int row = 1; row < 8; row++)
            crc_table[row][n] = crc_table[row - 1][n] >> 8 ^ crc_table[0][crc_table[row - 1][n] & 0xff];
}

static uint64_t crc64(uint64_t crc, const unsigned char *data, size_t size) {
    while (size >= 8) {
        uint64_t word = 0;
        for (int byte = 7; byte >= 0; byte--) word = word << 8 | data[byte];
        crc ^= word;
        crc = crc_table[7][crc & 0xff] ^ crc_table[6][crc >> 8 & 0xff] ^ crc_table[5][crc >> 16 & 0xff] ^
              crc_table[4][crc >> 24 & 0xff] ^ crc_table[3][crc >> 32 & 0xff] ^ crc_table[2][crc >> 40 & 0xff] ^
              crc_table[1][crc >> 48 & 0xff] ^ crc_table[0][crc >> 56];
        data += 8;
        size -= 8;
    }
    while (size--) crc = crc >> 8 ^ crc_table[0][(crc ^ *data++) & 0xff];
    return crc;
}

static PyObject *py_crc64(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    unsigned long long crc = 0;
    if (!PyArg_ParseTuple(args, "y*|K", &data, &crc)) return NULL;
    uint64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = crc64(crc, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLongLong(result);
}

/* LZF: NULL, or what is wrong. */

static const char *const too_long = "compressed string is longer than declared";
static const char *const too_short = "compressed string is shorter than declared";

static const char *expand(const unsigned char *in, size_t in_size, unsigned char *out, size_t out_size) {
    size_t at = 0, made = 0;
    while (at < in_size) {
        unsigned control = in[at];
        if (control < 32) {
            size_t count = (size_t)control + 1;
            if (in_size - at < count + 1) return too_short;
            if (out_size - made < count) return too_long;
            memcpy(out + made, in + at + 1, count);
            at += count + 1;
            made += count;
            continue;
        }
        size_t head = control >= 0xe0 ? 3 : 2;
        if (in_size - at < head) return too_short;
        size_t count = (control >> 5) + 2 + (head == 3 ? in[at + 1] : 0);
        size_t back = ((size_t)(control & 0x1f) << 8) + in[at + head - 1] + 1;
        if (back > made) return "compressed string refers to before its beginning";
        if (out_size - made < count) return too_long;
        for (size_t n = 0; n < count; n++, made++) out[made] = out[made - back];
        at += head;
    }
    return made == out_size ? NULL : too_short;
}

static PyObject *py_decompress(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "y*n", &data, &length)) return NULL;
    PyObject *result = NULL;
    if (length < 0 || length / MOST_GROWTH > data.len) {
        PyErr_SetString(PyExc_ValueError, "compressed string cannot be as long as declared");
    } else if ((result = PyBytes_FromStringAndSize(NULL, length)) != NULL) {
        const char *wrong = expand(data.buf, (size_t)data.len, (unsigned char *)PyBytes_AS_STRING(result), (size_t)length);
        if (wrong) {
            PyErr_SetString(PyExc_ValueError, wrong);
            Py_CLEAR(result);
        }
    }
    PyBuffer_Release(&data);
    return result;
}

/* Lengths: where the next byte is, or NULL if bytes are missing or wrong. */

static const unsigned char *read_length(const unsigned char *p, const unsigned char *end, uint64_t *value, int *special) {
    if (p >= end) return NULL;
    unsigned first = *p;
    size_t left = (size_t)(end - p), size = 0;
    *special = first >= 0xc0;
    if (first < 0x40 || *special) {
        *value = first & 63;
        return p + 1;
    }
    if (first < 0x80) {
        if (left < 2) return NULL;
        *value = (uint64_t)(first & 63) << 8 | p[1];
        return p + 2;
    }
    if (first == 0x80) size = 4;
    if (first == 0x81) size = 8;
    if (!size || left < size + 1) return NULL;
    uint64_t sum = 0;
    for (size_t n = 1; n <= size; n++) sum = sum << 8 | p[n];
    *value = sum;
    return p + size + 1;
}

static const unsigned char *read_plain(const unsigned char *p, const unsigned char *end, uint64_t *value) {
    int special;
    p = read_length(p, end, value, &special);
    return p && !special ? p : NULL;
}

/* Skipping: the machine of skipping.py. */

typedef struct {
    const unsigned char *layout;
    size_t size;
    size_t pc;
    uint64_t owed;
    int depth;
    struct {
        size_t start;
        uint64_t left;
    } loops[MOST_LOOPS];
} Skip;

static const unsigned char *skip_string(Skip *skip, const unsigned char *p, const unsigned char *end) {
    uint64_t size, plain;
    int special;
    p = read_length(p, end, &size, &special);
    if (!p) return NULL;
    if (!special) {
        if (size > MOST_LENGTH) return NULL;
        skip->owed = size;
    } else if (size < 3) {
        skip->owed = (uint64_t)1 << size;
    } else if (size == 3) {
        p = read_plain(p, end, &size);
        if (!p || size > MOST_LENGTH) return NULL;
        p = read_plain(p, end, &plain);
        if (!p || plain > size * MOST_GROWTH) return NULL;
        skip->owed = size;
    } else {
        return NULL;
    }
    return p;
}

static int skip_open(Skip *skip, uint64_t count) {
    if (count > MOST_LENGTH) return 0;
    if (count) {
        if (skip->depth == MOST_LOOPS) return 0;
        skip->pc++;
        skip->loops[skip->depth].start = skip->pc;
        skip->loops[skip->depth++].left = count;
        return 1;
    }
    int depth = 1;
    while (depth) {
        if (++skip->pc >= skip->size) return 0;
        unsigned char letter = skip->layout[skip->pc];
        depth += (letter == '(' || letter == 'a') - (letter == ')');
    }
    skip->pc++;
    return 1;
}

/* One letter; NULL: bytes are missing or wrong, and nothing was changed. */
static const unsigned char *skip_step(Skip *skip, const unsigned char *p, const unsigned char *end) {
    uint64_t value, flag;
    switch (skip->layout[skip->pc]) {
    case 's':
        p = skip_string(skip, p, end);
        break;
    case '8':
        skip->owed = 8;
        break;
    case '6':
        skip->owed = 16;
        break;
    case '4':
        skip->owed = 24;
        break;
    case 'l':
        p = read_plain(p, end, &value);
        break;
    case '(':
        p = read_plain(p, end, &value);
        return p && skip_open(skip, value) ? p : NULL;
    case ')':
        if (!skip->depth) return NULL;
        if (--skip->loops[skip->depth - 1].left) {
            skip->pc = skip->loops[skip->depth - 1].start;
        } else {
            skip->depth--;
            skip->pc++;
        }
        return p;
    case 'd':
        if (p >= end) return NULL;
        skip->owed = *p < 253 ? *p : 0;
        p++;
        break;
    case 'a':
        p = read_plain(p, end, &value);
        if (p) p = read_plain(p, end, &flag);
        if (!p || flag > 1) return NULL;
        if (flag) p = read_plain(p, end, &flag);
        return p && skip_open(skip, value) ? p : NULL;
    case 'e':
        p = read_plain(p, end, &value);
        if (!p || value > 3) return NULL;
        if (value == 1 || value == 2) skip->owed = 8;
        else p = skip_string(skip, p, end);
        break;
    default:
        return NULL;
    }
    if (p) skip->pc++;
    return p;
}

/* As far as the bytes reach; returns whether the value is over. */
static int skip_run(Skip *skip, const unsigned char **at, const unsigned char *end) {
    const unsigned char *p = *at;
    int done = 0;
    for (;;) {
        uint64_t left = (uint64_t)(end - p), step = skip->owed < left ? skip->owed : left;
        p += step;
        skip->owed -= step;
        if (skip->owed) break;
        if (skip->pc >= skip->size) {
            done = 1;
            break;
        }
        const unsigned char *next = skip_step(skip, p, end);
        if (!next) break;
        p = next;
    }
    *at = p;
    return done;
}

static int loops_in(Skip *skip, PyObject *loops) {
    Py_ssize_t depth = PyList_Size(loops);
    if (depth < 0) return 0;
    if (depth > MOST_LOOPS) {
        PyErr_SetString(PyExc_ValueError, "loops too deep");
        return 0;
    }
    for (Py_ssize_t n = 0; n < depth; n++) {
        PyObject *loop = PyList_GetItem(loops, n);
        if (!loop || !PyList_Check(loop) || PyList_Size(loop) != 2) {
            PyErr_SetString(PyExc_TypeError, "a loop is a list of two");
            return 0;
        }
        size_t start = PyLong_AsSize_t(PyList_GetItem(loop, 0));
        unsigned long long left = PyLong_AsUnsignedLongLong(PyList_GetItem(loop, 1));
        if (PyErr_Occurred()) return 0;
        skip->loops[n].start = start;
        skip->loops[n].left = left;
    }
    skip->depth = (int)depth;
    return 1;
}

static PyObject *loops_out(const Skip *skip) {
    PyObject *loops = PyList_New(skip->depth);
    for (int n = 0; loops && n < skip->depth; n++) {
        PyObject *loop = Py_BuildValue("[nK]", (Py_ssize_t)skip->loops[n].start, (unsigned long long)skip->loops[n].left);
        if (!loop) {
            Py_CLEAR(loops);
            break;
        }
        PyList_SET_ITEM(loops, n, loop);
    }
    return loops;
}

/* skip(layout, pc, owed, loops, data, at) -> (pc, owed, loops, at) */
static PyObject *py_skip(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer layout, data;
    Py_ssize_t pc, at;
    unsigned long long owed;
    PyObject *loops;
    if (!PyArg_ParseTuple(args, "y*nKO!y*n", &layout, &pc, &owed, &PyList_Type, &loops, &data, &at)) return NULL;
    PyObject *result = NULL;
    Skip skip = {layout.buf, (size_t)layout.len, (size_t)pc, owed, 0, {{0, 0}}};
    if (pc < 0 || pc > layout.len || at < 0 || at > data.len) {
        PyErr_SetString(PyExc_ValueError, "outside of the bytes");
    } else if (loops_in(&skip, loops)) {
        const unsigned char *p = (const unsigned char *)data.buf + at;
        const unsigned char *end = (const unsigned char *)data.buf + data.len;
        Py_BEGIN_ALLOW_THREADS
        skip_run(&skip, &p, end);
        Py_END_ALLOW_THREADS
        Py_ssize_t reached = p - (const unsigned char *)data.buf;
        PyObject *after = loops_out(&skip);
        if (after) result = Py_BuildValue("nKNn", (Py_ssize_t)skip.pc, (unsigned long long)skip.owed, after, reached);
    }
    PyBuffer_Release(&layout);
    PyBuffer_Release(&data);
    return result;
}

/* The output, which grows. */

typedef struct {
    unsigned char *data;
    size_t size;
    size_t room;
} Output;

static unsigned char *output_more(Output *out, size_t size) {
    if (out->room - out->size < size) {
        size_t room = out->room ? out->room : 1 << 16;
        while (room - out->size < size) {
            if (room > SIZE_MAX / 2) return NULL;
            room *= 2;
        }
        unsigned char *data = PyMem_RawRealloc(out->data, room);
        if (!data) return NULL;
        out->data = data;
        out->room = room;
    }
    return out->data + out->size;
}

static unsigned char *put(unsigned char *to, const void *from, size_t size) {
    if (size) memcpy(to, from, size);
    return to + size;
}

static size_t digits(char *to, uint64_t value) {
    char reversed[20];
    size_t size = 0;
    do reversed[size++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t n = 0; n < size; n++) to[n] = reversed[size - 1 - n];
    return size;
}

static unsigned char *put_size(unsigned char *to, char mark, uint64_t size) {
    *to++ = (unsigned char)mark;
    to += digits((char *)to, size);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static unsigned char *put_word(unsigned char *to, const void *from, size_t size) {
    to = put_size(to, '$', size);
    to = put(to, from, size);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static unsigned char *put_number(unsigned char *to, uint64_t value) {
    char text[20];
    return put_word(to, text, digits(text, value));
}

/* Records. */

typedef struct {
    const unsigned char *key;
    size_t key_size;
    unsigned char *expanded;
    unsigned char number;
    int expires, idles, counts;
    int64_t expires_ms;
    uint64_t idle;
    unsigned frequency;
    char text[24];
} Record;

typedef struct {
    const unsigned char *footers;
    Skip layouts[256];
    uint64_t limit;
    int wanted, replace, absolute, hints;
    int64_t cutoff, hold, now;
    long database;
    PyObject *keep;
} Plan;

static uint64_t little(const unsigned char *p, int size) {
    uint64_t value = 0;
    while (size--) value = value << 8 | p[size];
    return value;
}

static int64_t signed_little(const unsigned char *p, int size) {
    uint64_t value = little(p, size);
    if (size < 8 && value >> (8 * size - 1)) value |= ~(uint64_t)0 << (8 * size);
    return (int64_t)value;
}

static const unsigned char *read_key(Record *record, const unsigned char *p, const unsigned char *end) {
    uint64_t size, plain;
    int special;
    p = read_length(p, end, &size, &special);
    if (!p) return NULL;
    if (!special) {
        if (size > MOST_KEY || size > (uint64_t)(end - p)) return NULL;
        record->key = p;
        record->key_size = (size_t)size;
        return p + size;
    }
    if (size < 3) {
        int width = 1 << size;
        if (end - p < width) return NULL;
        int64_t value = signed_little(p, width);
        char *to = record->text;
        if (value < 0) *to++ = '-';
        to += digits(to, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value);
        record->key = (unsigned char *)record->text;
        record->key_size = (size_t)(to - record->text);
        return p + width;
    }
    if (size != 3) return NULL;
    p = read_plain(p, end, &size);
    if (p) p = read_plain(p, end, &plain);
    if (!p || size > (uint64_t)(end - p) || plain > MOST_COMPRESSED_KEY || plain > size * MOST_GROWTH) return NULL;
    record->expanded = PyMem_RawMalloc((size_t)plain ? (size_t)plain : 1);
    if (!record->expanded || expand(p, (size_t)size, record->expanded, (size_t)plain)) return NULL;
    record->key = record->expanded;
    record->key_size = (size_t)plain;
    return p + size;
}

/* What stands before the value; NULL: for Python. */
static const unsigned char *read_record(Record *record, const unsigned char *p, const unsigned char *end) {
    for (;;) {
        if (p >= end) return NULL;
        unsigned code = *p++;
        if (code < FIRST_OPCODE) {
            record->number = (unsigned char)code;
            return read_key(record, p, end);
        }
        if (code == 252) {
            if (end - p < 8) return NULL;
            record->expires_ms = signed_little(p, 8);
            record->expires = 1;
            p += 8;
        } else if (code == 253) {
            if (end - p < 4) return NULL;
            record->expires_ms = signed_little(p, 4) * 1000;
            record->expires = 1;
            p += 4;
        } else if (code == 248) {
            p = read_plain(p, end, &record->idle);
            if (!p) return NULL;
            if (record->idle > (uint64_t)MOST_TTL) record->idle = (uint64_t)MOST_TTL;
            record->idles = 1;
            record->counts = 0;
        } else if (code == 249) {
            if (p >= end) return NULL;
            record->frequency = *p++;
            record->counts = 1;
            record->idles = 0;
        } else {
            return NULL;
        }
    }
}

static uint64_t ttl_of(const Plan *plan, const Record *record) {
    if (!record->expires) return 0;
    int64_t at = record->expires_ms;
    if (at > 0 && at < plan->hold && at < UNHELD_FROM) at = at > MOST_TTL - plan->hold ? MOST_TTL : at + plan->hold;
    if (at < 1) at = 1;
    if (plan->absolute) return (uint64_t)at;
    if (at <= plan->now) return 1;
    uint64_t left = (uint64_t)at - (uint64_t)plan->now;
    return left;
}

static int emit(Output *out, const Plan *plan, const Record *record, const unsigned char *value, size_t size) {
    size_t payload = size + 11;
    unsigned char *to = output_more(out, record->key_size + payload + 256);
    if (!to) return 0;
    int idles = plan->hints && record->idles, counts = plan->hints && record->counts;
    int at = record->expires && plan->absolute;
    to = put_size(to, '*', (uint64_t)(4 + plan->replace + at + 2 * idles + 2 * counts));
    to = put_word(to, "RESTORE", 7);
    to = put_word(to, record->key, record->key_size);
    to = put_number(to, ttl_of(plan, record));
    to = put_size(to, '$', payload);
    unsigned char *body = to;
    *to++ = record->number;
    to = put(to, value, size);
    *to++ = plan->footers[record->number];
    *to++ = 0;
    uint64_t crc = crc64(0, body, size + 3);
    for (int byte = 0; byte < 8; byte++) *to++ = (unsigned char)(crc >> 8 * byte);
    *to++ = '\r';
    *to++ = '\n';
    if (plan->replace) to = put_word(to, "REPLACE", 7);
    if (at) to = put_word(to, "ABSTTL", 6);
    if (idles) to = put_number(put_word(to, "IDLETIME", 8), record->idle);
    if (counts) to = put_number(put_word(to, "FREQ", 4), record->frequency);
    out->size = (size_t)(to - out->data);
    return 1;
}

/* 1 wanted, 0 not, -1 an exception. */
static int ask(const Plan *plan, const Record *record) {
    if (!plan->wanted) return 0;
    if (plan->keep == Py_None) return 1;
    PyObject *answer = PyObject_CallFunction(plan->keep, "ly#", plan->database, (const char *)record->key,
                                             (Py_ssize_t)record->key_size);
    if (!answer) return -1;
    int truth = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return truth;
}

typedef struct {
    Py_ssize_t keys, expired, left_out;
} Counts;

/* Whether a value may be a collection of no elements, which is for Python to say: of its bytes, those are looked at
 * that tell a full one at once. */
static int may_be_empty(const Skip *layout, unsigned number, const unsigned char *p, const unsigned char *end) {
    uint64_t count;
    size_t first = layout->layout[0] == '8';
    if (!number) return 0;
    if (first) p += 8;
    if (layout->layout[first] == 's') return *p == 7 || *p == 11;
    p = read_plain(p, end, &count);
    if (!p || !count) return 1;
    if (number == 18) p++;
    return (number == 14 || number == 18) && p < end && (*p == 7 || *p == 11);
}

/* One record: 1 done, 0 for Python, -1 an exception, -2 no memory. */
static int one(Output *out, const Plan *plan, Counts *counts, const unsigned char **at, const unsigned char *end) {
    Record record = {0};
    int result = 0;
    const unsigned char *p = read_record(&record, *at, end);
    if (p && plan->footers[record.number]) {
        const unsigned char *value = p;
        Skip skip = plan->layouts[record.number];
        int done = skip_run(&skip, &p, end);
        int wanted = done ? ask(plan, &record) : 0;
        if (wanted < 0) {
            result = -1;
        } else if (done && !wanted) {
            counts->left_out++;
            result = 1;
        } else if (done && record.expires && record.expires_ms <= plan->cutoff) {
            counts->expired++;
            result = 1;
        } else if (done && (uint64_t)(p - value) <= plan->limit &&
                   !may_be_empty(&plan->layouts[record.number], record.number, value, p)) {
            result = emit(out, plan, &record, value, (size_t)(p - value)) ? 1 : -2;
            counts->keys += result == 1;
        }
    }
    PyMem_RawFree(record.expanded);
    if (result == 1) *at = p;
    return result;
}

static int layouts_in(Plan *plan, PyObject *layouts) {
    Py_ssize_t size = PyTuple_GET_SIZE(layouts);
    for (Py_ssize_t n = 0; n < size && n < 256; n++) {
        char *data;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(layouts, n), &data, &length)) return 0;
        Skip *skip = &plan->layouts[n];
        skip->layout = (const unsigned char *)data;
        skip->size = (size_t)length;
        skip->pc = 0;
        skip->owed = 0;
        skip->depth = 0;
    }
    for (Py_ssize_t n = 0; n < 256; n++)
        if (plan->footers[n] && n >= size) {
            PyErr_SetString(PyExc_ValueError, "a footer without a layout");
            return 0;
        }
    return 1;
}

/* restore(data, at, room, limit, footers, layouts, wanted, cutoff, hold, flags, now, database, keep)
 *     -> (commands, at, keys, expired, left_out, full) */
static PyObject *py_restore(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data, footers;
    Py_ssize_t at, room;
    unsigned long long limit;
    PyObject *layouts;
    long long cutoff, hold, now;
    int flags;
    static const char *const form = "y*nnKy*O!pLLiLlO";
    Plan plan;
    if (!PyArg_ParseTuple(args, form, &data, &at, &room, &limit, &footers, &PyTuple_Type, &layouts, &plan.wanted, &cutoff,
                          &hold, &flags, &now, &plan.database, &plan.keep))
        return NULL;
    PyObject *result = NULL;
    Output out = {NULL, 0, 0};
    plan.footers = footers.buf;
    plan.limit = limit;
    plan.cutoff = cutoff;
    plan.hold = hold;
    plan.now = now;
    plan.replace = flags & 1;
    plan.absolute = flags >> 1 & 1;
    plan.hints = flags >> 2 & 1;
    if (footers.len != 256 || at < 0 || at > data.len) {
        PyErr_SetString(PyExc_ValueError, "outside of the bytes");
    } else if (layouts_in(&plan, layouts)) {
        const unsigned char *begin = data.buf, *p = begin + at, *end = begin + data.len;
        Counts counts = {0, 0, 0};
        int state;
        PyThreadState *thread = plan.keep == Py_None ? PyEval_SaveThread() : NULL;
        do state = one(&out, &plan, &counts, &p, end);
        while (state == 1 && (!out.size || (room > 0 && out.size < (size_t)room)));
        if (thread) PyEval_RestoreThread(thread);
        if (state == -2) PyErr_NoMemory();
        else if (state >= 0)
            result = Py_BuildValue("y#nnnnO", out.data ? (const char *)out.data : "", (Py_ssize_t)out.size,
                                   (Py_ssize_t)(p - begin), counts.keys, counts.expired, counts.left_out,
                                   state ? Py_True : Py_False);
    }
    PyMem_RawFree(out.data);
    PyBuffer_Release(&data);
    PyBuffer_Release(&footers);
    return result;
}

static PyMethodDef methods[] = {
    {"crc64", py_crc64, METH_VARARGS, "crc64(data, crc=0) -> int"},
    {"decompress", py_decompress, METH_VARARGS, "decompress(data, length) -> bytes"},
    {"skip", py_skip, METH_VARARGS, "skip(layout, pc, owed, loops, data, at) -> (pc, owed, loops, at)"},
    {"restore", py_restore, METH_VARARGS, "One stretch of records as RESTORE commands; see rdb.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rdb", "The compiled parts of the RDB walk.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rdb(void) {
    crc_prepare();
    return PyModule_Create(&module);
}
