/* The hot loop of stream.py: the same bytes in and out, for the commands that make up most of a stream.
 *
 * Whatever is rare, wrong or needs a message is left to Python, one command at a time, so that rules live there
 * alone. Reads never go beyond the buffer; lengths are checked before they are used.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { MORE = 0, RARE = 1, LIMIT = 2, LATER = 3 };

#define MOST_NUMBER 2147483647LL
#define MOST_BULK (1LL << 30)
#define UNHELD_FROM (1LL << 52)
#define MOST_HOLD (1LL << 54)
#define MOST_WORDS 16
#define MOST_DATABASES (1LL << 16)
#define LARGE_RUN (64 * 1024)

typedef struct {
    const char *data;
    Py_ssize_t size;
    /* The command being framed: how many words are left, and where the next begins. */
    long long left;
    Py_ssize_t next;
} Input;

typedef struct {
    PyObject *parts;
    char *bytes;
    Py_ssize_t length, room;
    /* A stretch of the input that goes out as it is, not yet copied. */
    Py_ssize_t run_start, run_end;
    long long base;
    int whole; /* inside a transaction that may be taken back: nothing may leave for `parts` */
} Output;

typedef struct {
    const char *start; /* of its "$" */
    const char *data;
    Py_ssize_t length;
} Word;

/* ---- framing ---- */

/* A number of up to ten digits and its line end. Returns MORE, RARE, or -1 with *at behind the line. */
static int number_line(const Input *in, Py_ssize_t *at, long long *value)
{
    Py_ssize_t place = *at;
    long long found = 0;
    int digits = 0;
    while (place < in->size && in->data[place] >= '0' && in->data[place] <= '9') {
        if (++digits > 10 || (digits == 2 && !found)) /* servers refuse zeros in front */
            return RARE;
        found = found * 10 + (in->data[place++] - '0');
    }
    if (place >= in->size)
        return MORE;
    if (in->data[place] != '\r' || !digits)
        return RARE;
    if (place + 1 >= in->size)
        return MORE;
    if (in->data[place + 1] != '\n' || found > MOST_NUMBER)
        return RARE;
    *at = place + 2;
    *value = found;
    return -1;
}

/* The end of the command at `start`. Returns MORE (to be called again with the same state), RARE, or -1. */
static int frame(Input *in, Py_ssize_t start, Py_ssize_t *end)
{
    int state;
    long long length;
    if (!in->left) {
        if (start >= in->size)
            return MORE;
        if (in->data[start] != '*')
            return RARE;
        in->next = start + 1;
        if ((state = number_line(in, &in->next, &in->left)) >= 0) {
            in->left = 0;
            return state;
        }
        if (!in->left)
            return RARE;
    }
    while (in->left) {
        Py_ssize_t at = in->next;
        if (at >= in->size)
            return MORE;
        if (in->data[at] != '$')
            return RARE;
        at++;
        if ((state = number_line(in, &at, &length)) >= 0)
            return state;
        if (length > MOST_BULK)
            return RARE;
        if (length + 2 > in->size - at)
            return MORE;
        at += length;
        if (in->data[at] != '\r' || in->data[at + 1] != '\n')
            return RARE;
        in->next = at + 2;
        in->left--;
    }
    *end = in->next;
    return -1;
}

/* The first words of a complete command, at most `most`. Returns how many the command has. */
static long long words_of(const char *command, Word *words, int most)
{
    const char *at = command + 1;
    long long count = 0, index;
    while (*at != '\r')
        count = count * 10 + (*at++ - '0');
    at += 2;
    for (index = 0; index < count && index < most; index++) {
        Py_ssize_t length = 0;
        words[index].start = at++;
        while (*at != '\r')
            length = length * 10 + (*at++ - '0');
        words[index].data = at + 2;
        words[index].length = length;
        at += 2 + length + 2;
    }
    return count;
}

/* ---- output: 0 is good, -1 is an exception ---- */

static int reserve(Output *out, Py_ssize_t more)
{
    char *grown;
    Py_ssize_t room = out->room ? out->room : 64 * 1024;
    if (out->length + more <= out->room)
        return 0;
    while (room < out->length + more)
        room *= 2;
    if (!(grown = PyMem_Realloc(out->bytes, room))) {
        PyErr_NoMemory();
        return -1;
    }
    out->bytes = grown;
    out->room = room;
    return 0;
}

static int append_part(Output *out, PyObject *part)
{
    int state = part ? PyList_Append(out->parts, part) : -1;
    Py_XDECREF(part);
    return state;
}

static int flush_bytes(Output *out)
{
    if (!out->length)
        return 0;
    if (append_part(out, PyBytes_FromStringAndSize(out->bytes, out->length)))
        return -1;
    out->length = 0;
    return 0;
}

static int flush_run(Output *out, const Input *in)
{
    Py_ssize_t length = out->run_end - out->run_start;
    if (!length)
        return 0;
    if (length >= LARGE_RUN && !out->whole) {
        if (flush_bytes(out) ||
            append_part(out, Py_BuildValue("(LL)", out->base + out->run_start, out->base + out->run_end)))
            return -1;
    } else {
        if (reserve(out, length))
            return -1;
        memcpy(out->bytes + out->length, in->data + out->run_start, length);
        out->length += length;
    }
    out->run_start = out->run_end = 0;
    return 0;
}

static int put_raw(Output *out, const Input *in, Py_ssize_t start, Py_ssize_t end)
{
    if (out->run_end != start || out->run_end == out->run_start) {
        if (flush_run(out, in))
            return -1;
        out->run_start = start;
    }
    out->run_end = end;
    return 0;
}

static int put_text(Output *out, const Input *in, const char *text, Py_ssize_t length)
{
    if (flush_run(out, in) || reserve(out, length))
        return -1;
    memcpy(out->bytes + out->length, text, length);
    out->length += length;
    return 0;
}

static int put_bulk_number(Output *out, const Input *in, long long value)
{
    char text[40], *end = text + sizeof text, *at = end;
    int length;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    length = (int)(end - at) - 2;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + length % 10);
    while (length /= 10);
    *--at = '$';
    return put_text(out, in, at, end - at);
}

static int put_header(Output *out, const Input *in, long long words)
{
    char text[32], *end = text + sizeof text, *at = end;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + words % 10);
    while (words /= 10);
    *--at = '*';
    return put_text(out, in, at, end - at);
}

static int put_select(Output *out, const Input *in, long long database)
{
    return put_text(out, in, "*2\r\n$6\r\nSELECT\r\n", 16) || put_bulk_number(out, in, database) ? -1 : 0;
}

/* ---- expiries ---- */

typedef struct {
    long long now, hold;
} Clock;

/* The expiry to be written; 0: as it is, -1: rare. */
static long long absolute(const Word *word, long long unit, int relative, const Clock *clock)
{
    long long value = 0, moment;
    Py_ssize_t place;
    if (word->length < 1 || word->length > 16)
        return -1;
    for (place = 0; place < word->length; place++) {
        if (word->data[place] < '0' || word->data[place] > '9')
            return -1;
        value = value * 10 + (word->data[place] - '0');
    }
    if (value <= 0 || value >= UNHELD_FROM)
        return -1;
    moment = value * unit + (relative ? clock->now : 0);
    if (moment >= UNHELD_FROM)
        return -1;
    return !clock->hold && !relative ? 0 : moment + clock->hold;
}

static int is(const Word *word, const char *name)
{
    Py_ssize_t place, length = (Py_ssize_t)strlen(name);
    if (word->length != length)
        return 0;
    for (place = 0; place < length; place++)
        if ((word->data[place] & ~0x20) != name[place])
            return 0;
    return 1;
}

static int unit_of(const Word *word, long long *unit, int *relative)
{
    if (is(word, "PX"))
        *unit = 1, *relative = 1;
    else if (is(word, "EX"))
        *unit = 1000, *relative = 1;
    else if (is(word, "PXAT"))
        *unit = 1, *relative = 0;
    else if (is(word, "EXAT"))
        *unit = 1000, *relative = 0;
    else
        return 0;
    return 1;
}

/* What became of one command. */
enum { FAILED = -1, DONE = 0, LEFT = 1 };

/* EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT. */
static int expire(Output *out, const Input *in, Py_ssize_t start, Py_ssize_t end, const Word *words, long long count,
                  long long unit, int relative, const Clock *clock)
{
    long long held;
    Py_ssize_t rest;
    if (count < 3)
        return LEFT;
    if ((held = absolute(&words[2], unit, relative, clock)) < 0)
        return LEFT;
    if (!held)
        return put_raw(out, in, start, end);
    rest = words[2].data - in->data + words[2].length + 2;
    return put_header(out, in, count) || put_text(out, in, "$9\r\nPEXPIREAT\r\n", 15) ||
                   put_raw(out, in, words[1].start - in->data, words[2].start - in->data) ||
                   put_bulk_number(out, in, held) || (rest < end && put_raw(out, in, rest, end))
               ? FAILED
               : DONE;
}

/* SETEX, PSETEX. */
static int setex(Output *out, const Input *in, Py_ssize_t end, const Word *words, long long count, long long unit,
                 const Clock *clock)
{
    long long held;
    if (count != 4 || (held = absolute(&words[2], unit, 1, clock)) <= 0)
        return LEFT;
    return put_text(out, in, "*5\r\n$3\r\nSET\r\n", 13) ||
                   put_raw(out, in, words[1].start - in->data, words[2].start - in->data) ||
                   put_raw(out, in, words[3].start - in->data, end) || put_text(out, in, "$4\r\nPXAT\r\n", 10) ||
                   put_bulk_number(out, in, held)
               ? FAILED
               : DONE;
}

/* SET with options. */
static int set(Output *out, const Input *in, Py_ssize_t start, Py_ssize_t end, const Word *words, long long count,
               const Clock *clock)
{
    long long held = 0, unit;
    int relative, place, found = 0;
    Py_ssize_t rest;
    for (place = 3; place < count; place++) {
        if (unit_of(&words[place], &unit, &relative)) {
            if (found || place + 1 >= count || (held = absolute(&words[place + 1], unit, relative, clock)) < 0)
                return LEFT;
            found = place++;
        } else if (!is(&words[place], "NX") && !is(&words[place], "XX") && !is(&words[place], "GET") &&
                   !is(&words[place], "KEEPTTL"))
            return LEFT;
    }
    if (!found || !held)
        return put_raw(out, in, start, end);
    rest = words[found + 1].data - in->data + words[found + 1].length + 2;
    return put_header(out, in, count) ||
                   put_raw(out, in, words[0].start - in->data, words[found].start - in->data) ||
                   put_text(out, in, "$4\r\nPXAT\r\n", 10) || put_bulk_number(out, in, held) ||
                   (rest < end && put_raw(out, in, rest, end))
               ? FAILED
               : DONE;
}

/* ---- what a command is ---- */

enum { PLAIN, NOTHING, SELECT, MULTI, EXEC, GLOBAL, OTHER, SET, EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, SETEX, PSETEX };

typedef struct {
    const char *name;
    int kind;
} Known;

/* By length of the name. Everything that Python has a rule of its own for and that is not done here is OTHER. */
static const Known KNOWN[15][12] = {
    [3] = {{"SET", SET}},
    [4] = {{"PING", NOTHING}, {"EXEC", EXEC}, {"MOVE", OTHER}, {"COPY", OTHER}},
    [5] = {{"MULTI", MULTI}, {"SETEX", SETEX}, {"GETEX", OTHER}},
    [6] = {{"SELECT", SELECT}, {"EXPIRE", EXPIRE}, {"PSETEX", PSETEX}, {"SWAPDB", OTHER}, {"MSETEX", OTHER},
           {"HSETEX", OTHER}, {"HGETEX", OTHER}, {"SCRIPT", GLOBAL}},
    [7] = {{"PEXPIRE", PEXPIRE}, {"PUBLISH", GLOBAL}, {"RESTORE", OTHER}, {"HEXPIRE", OTHER}, {"FLUSHDB", OTHER},
           {"CLUSTER", OTHER}},
    [8] = {{"REPLCONF", NOTHING}, {"EXPIREAT", EXPIREAT}, {"FLUSHALL", OTHER}, {"SPUBLISH", GLOBAL},
           {"FUNCTION", GLOBAL}, {"HPEXPIRE", OTHER}},
    [9] = {{"PEXPIREAT", PEXPIREAT}, {"TRIMSLOTS", OTHER}},
    [14] = {{"RESTORE-ASKING", OTHER}},
};

static int kind_of(const Word *name)
{
    const Known *known;
    char capitals[16];
    Py_ssize_t place;
    if (name->length < 3 || name->length > 14)
        return PLAIN;
    for (place = 0; place < name->length; place++) {
        char letter = name->data[place];
        capitals[place] = letter >= 'a' && letter <= 'z' ? letter - 32 : letter;
    }
    for (known = KNOWN[name->length]; known->name; known++)
        if (!memcmp(known->name, capitals, name->length))
            return known->kind;
    return PLAIN;
}

/* ---- the loop ---- */

typedef struct {
    long long database, target, selected, count, dropped;
} State;

/* The database that a SELECT names: 1, or 0 if that is for Python to look at, or -1 for an exception. */
static int go_to(State *state, const Word *words, long long count, PyObject *databases, long long most)
{
    long long database = 0, target;
    Py_ssize_t place;
    PyObject *key, *found;
    if (count != 2 || words[1].length < 1 || words[1].length > 9)
        return 0;
    for (place = 0; place < words[1].length; place++) {
        if (words[1].data[place] < '0' || words[1].data[place] > '9')
            return 0;
        database = database * 10 + (words[1].data[place] - '0');
    }
    if (databases == Py_None) {
        if (database >= most)
            return 0;
        state->database = state->target = database;
        return 1;
    }
    if (!(key = PyLong_FromLongLong(database)))
        return -1;
    found = PyDict_GetItemWithError(databases, key);
    Py_DECREF(key);
    if (!found && PyErr_Occurred())
        return -1;
    target = found ? PyLong_AsLongLong(found) : -1;
    if (found && target == -1 && PyErr_Occurred())
        return -1;
    if (target >= most || (!found && database >= MOST_DATABASES))
        return 0;
    state->database = database;
    state->target = target;
    return 1;
}

/* One command that goes into the selected database. */
static int place_command(Output *out, const Input *in, State *state, Py_ssize_t start, Py_ssize_t end,
                         const Word *words, long long count, int kind, const Clock *clock)
{
    /* What the command becomes may turn out to be for Python: then the SELECT before it must go again. */
    Output before = *out;
    int done;
    if (kind != PLAIN && count > MOST_WORDS)
        return LEFT;
    if (state->selected != state->target) {
        if (flush_run(out, in))
            return FAILED;
        before = *out;
        if (put_select(out, in, state->target))
            return FAILED;
    }
    switch (kind) {
    case SET:
        done = set(out, in, start, end, words, count, clock);
        break;
    case EXPIRE:
        done = expire(out, in, start, end, words, count, 1000, 1, clock);
        break;
    case PEXPIRE:
        done = expire(out, in, start, end, words, count, 1, 1, clock);
        break;
    case EXPIREAT:
        done = expire(out, in, start, end, words, count, 1000, 0, clock);
        break;
    case PEXPIREAT:
        done = expire(out, in, start, end, words, count, 1, 0, clock);
        break;
    case SETEX:
        done = setex(out, in, end, words, count, 1000, clock);
        break;
    case PSETEX:
        done = setex(out, in, end, words, count, 1, clock);
        break;
    default:
        done = put_raw(out, in, start, end);
    }
    if (done == LEFT)
        out->length = before.length;
    if (done == DONE) {
        state->count += 1 + (state->selected != state->target);
        state->selected = state->target;
    }
    return done;
}

typedef struct {
    Py_ssize_t at;
    Py_ssize_t length; /* of the output */
    State state;
} Border;

typedef struct {
    Py_ssize_t until, most_at;
    long long most_commands, most_transaction, databases_there;
    int open;
    PyObject *databases;
    Clock clock;
} Job;

/* Returns MORE, RARE, LIMIT or LATER, with *at where it stopped; -1 for an exception. */
static int loop(Input *in, Output *out, State *state, const Job *job, Py_ssize_t *at)
{
    Border border = {-1, 0, *state};
    Word words[MOST_WORDS];
    int reason;
    for (;;) {
        Py_ssize_t start = *at, end = 0;
        long long count;
        int kind, done = DONE;
        if (!in->left && start >= job->until && start < in->size) {
            reason = LATER;
            break;
        }
        if ((reason = frame(in, start, &end)) >= 0)
            break;
        if (border.at < 0 && !job->open && start && (end > job->most_at || state->count >= job->most_commands)) {
            reason = LIMIT;
            break;
        }
        count = words_of(in->data + start, words, 1);
        kind = kind_of(&words[0]);
        if (kind != PLAIN)
            count = words_of(in->data + start, words, MOST_WORDS);
        switch (kind) {
        case NOTHING:
            break;
        case SELECT:
            if ((done = go_to(state, words, count, job->databases, job->databases_there)) >= 0)
                done = done ? DONE : LEFT;
            break;
        case MULTI:
            if (border.at >= 0 || job->open)
                done = LEFT;
            else {
                if (flush_run(out, in))
                    return -1;
                border = (Border){start, out->length, *state};
                out->whole = 1;
            }
            break;
        case EXEC:
            if (border.at < 0 || end - border.at > job->most_transaction)
                done = LEFT;
            else {
                border.at = -1;
                out->whole = 0;
            }
            break;
        case GLOBAL:
            if (state->selected < 0)
                done = LEFT;
            else {
                done = put_raw(out, in, start, end);
                state->count++;
            }
            break;
        case OTHER:
            done = LEFT;
            break;
        default:
            if (state->database < 0)
                done = LEFT;
            else if (state->target < 0)
                state->dropped++;
            else
                done = place_command(out, in, state, start, end, words, count, kind, &job->clock);
        }
        if (done == FAILED)
            return -1;
        if (done == LEFT) {
            reason = RARE;
            break;
        }
        *at = end;
    }
    if (border.at >= 0) {
        /* The transaction is not complete or not simple: Python begins it. */
        out->run_start = out->run_end = 0;
        out->length = border.length;
        *state = border.state;
        *at = border.at;
        reason = RARE;
    }
    if (reason != MORE)
        in->left = 0;
    return reason;
}

PyDoc_STRVAR(scan_doc,
             "scan(buffer, base, at, until, most_at, most_commands, most_transaction, open, databases, database,\n"
             "target, selected, now_ms, hold_ms, databases_there, left, next)\n"
             "-> (reason, at, count, dropped, database, target, selected, left, next, parts)\n\n"
             "Draft commands from the buffer index `at` on; see Transformer for what the words mean.");

static PyObject *scan(PyObject *module, PyObject *arguments)
{
    Py_buffer buffer;
    Input in = {0};
    Output out = {0};
    State state = {0};
    Job job = {0};
    Py_ssize_t at;
    int reason;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*LnnnLLpOLLLLLLLn", &buffer, &out.base, &at, &job.until, &job.most_at,
                          &job.most_commands, &job.most_transaction, &job.open, &job.databases, &state.database,
                          &state.target, &state.selected, &job.clock.now, &job.clock.hold, &job.databases_there, &in.left, &in.next))
        return NULL;
    in.data = buffer.buf;
    in.size = buffer.len;
    if (at < 0 || at > in.size || in.left < 0 || (in.left && (in.next < at || in.next > in.size)) ||
        job.clock.now < 0 || job.clock.now >= UNHELD_FROM || job.clock.hold < 0 || job.clock.hold > MOST_HOLD ||
        (job.databases != Py_None && !PyDict_Check(job.databases)))
        PyErr_SetString(PyExc_ValueError, "scan was called with values that cannot be");
    else if ((out.parts = PyList_New(0))) {
        reason = loop(&in, &out, &state, &job, &at);
        if (reason >= 0 && !flush_run(&out, &in) && !flush_bytes(&out))
            result = Py_BuildValue("(inLLLLLLnO)", reason, at, state.count, state.dropped, state.database,
                                   state.target, state.selected, in.left, in.next, out.parts);
    }
    Py_XDECREF(out.parts);
    PyMem_Free(out.bytes);
    PyBuffer_Release(&buffer);
    return result;
}

/* ---- counting answers (replies.py) ---- */

#define MOST_DEPTH 16

typedef struct {
    long long left[MOST_DEPTH]; /* elements to come, outermost first */
    int depth;
    long long complete, within, skip, failed, most;
} Counter;

/* One thing is complete: an element, and with it perhaps arrays, and with them an answer. */
static void completed(Counter *counter)
{
    while (counter->depth) {
        if (counter->depth == 1)
            counter->within++;
        if (--counter->left[counter->depth - 1])
            return;
        counter->depth--;
    }
    counter->complete++;
    counter->within = 0;
}

/* Note an error, or, with text NULL, a null. */
static int note(Counter *counter, PyObject *events, const char *text, Py_ssize_t length)
{
    PyObject *event;
    int state;
    if (text)
        counter->failed++;
    if (PyList_GET_SIZE(events) >= counter->most)
        return 0;
    event = Py_BuildValue("(LLy#)", counter->complete, counter->depth ? counter->within : -1, text, length);
    state = event ? PyList_Append(events, event) : -1;
    Py_XDECREF(event);
    return state;
}

/* The number in a line, which may be -1. Returns -1 if it is none. */
static int line_number(const char *at, const char *end, long long *value)
{
    if (end - at == 2 && at[0] == '-' && at[1] == '1') {
        *value = -1;
        return 0;
    }
    if (at == end || end - at > 10)
        return -1;
    for (*value = 0; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        *value = *value * 10 + (*at - '0');
    }
    return 0;
}

/* One line without its end, from its type on. Returns 0; -1 for an exception; 1 if it is no answer. */
static int answer(Counter *counter, PyObject *errors, PyObject *nulls, const char *line, const char *end)
{
    long long value;
    switch (*line) {
    case '-':
        if (counter->depth < 2 && note(counter, errors, line + 1, end - line - 1))
            return -1;
        completed(counter);
        return 0;
    case '+':
    case ':':
        completed(counter);
        return 0;
    case '$':
    case '*':
        if (line_number(line + 1, end, &value))
            return 1;
        if (value < 0 || (*line == '*' && !value)) {
            if (value < 0 && !counter->depth && note(counter, nulls, NULL, 0))
                return -1;
            completed(counter);
        } else if (*line == '$')
            counter->skip = value + 2;
        else if (counter->depth == MOST_DEPTH)
            return 1;
        else
            counter->left[counter->depth++] = value;
        return 0;
    default:
        return 1;
    }
}

PyDoc_STRVAR(count_doc, "count(data, left, complete, within, skip, most_errors, most_nulls)\n"
                        "-> (used, left, complete, within, skip, failed, errors, nulls)\n\n"
                        "Count the answers in some bytes; what is not used must come again, with more.");

static PyObject *count(PyObject *module, PyObject *arguments)
{
    Py_buffer buffer;
    PyObject *left, *errors = NULL, *nulls = NULL, *result = NULL;
    Counter counter = {0};
    long long most_errors, most_nulls;
    const char *at, *stop;
    Py_ssize_t index;
    int state = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*O!LLLLL", &buffer, &PyTuple_Type, &left, &counter.complete, &counter.within,
                          &counter.skip, &most_errors, &most_nulls))
        return NULL;
    counter.depth = (int)Py_MIN(PyTuple_GET_SIZE(left), MOST_DEPTH);
    for (index = 0; index < counter.depth; index++) {
        counter.left[index] = PyLong_AsLongLong(PyTuple_GET_ITEM(left, index));
        if (counter.left[index] < 1 && !PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "count was called with values that cannot be");
    }
    if (PyErr_Occurred() || !(errors = PyList_New(0)) || !(nulls = PyList_New(0)))
        goto done;
    at = buffer.buf;
    stop = at + buffer.len;
    while (at < stop && !state) {
        const char *end;
        if (counter.skip > 0) {
            long long here = Py_MIN(counter.skip, (long long)(stop - at));
            at += here;
            if (!(counter.skip -= here))
                completed(&counter);
            continue;
        }
        if (!(end = memchr(at, '\r', stop - at)) || end + 1 >= stop)
            break;
        if (end[1] != '\n' || end == at) {
            state = 1;
            break;
        }
        /* `most` counts for each list alone. */
        counter.most = *at == '-' ? most_errors : most_nulls;
        state = answer(&counter, errors, nulls, at, end);
        at = end + 2;
    }
    if (state > 0)
        PyErr_Format(PyExc_ValueError, "no answer after %lld answers", counter.complete);
    if (!state) {
        PyObject *now = PyTuple_New(counter.depth);
        for (index = 0; now && index < counter.depth; index++) {
            PyObject *number = PyLong_FromLongLong(counter.left[index]);
            if (!number)
                Py_CLEAR(now);
            else
                PyTuple_SET_ITEM(now, index, number);
        }
        if (now)
            result = Py_BuildValue("(nNLLLLOO)", (Py_ssize_t)(at - (const char *)buffer.buf), now, counter.complete,
                                   counter.within, counter.skip, counter.failed, errors, nulls);
    }
done:
    Py_XDECREF(errors);
    Py_XDECREF(nulls);
    PyBuffer_Release(&buffer);
    return result;
}

static PyMethodDef methods[] = {
    {"count", count, METH_VARARGS, count_doc},
    {"scan", scan, METH_VARARGS, scan_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_stream", .m_doc = "The hot loop of the command stream.", .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__stream(void)
{
    return PyModule_Create(&definition);
}
