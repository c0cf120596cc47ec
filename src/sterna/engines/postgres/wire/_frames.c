/* The hot loop of frames.py: runs of the messages that make up most of a stream.
 *
 * Whatever is rare or wrong is left to Python, one message at a time, so that rules live there alone. Lengths are
 * checked before anything is read.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define HEADER 25    /* of a CopyData payload "w" */
#define BEGIN_SIZE 21
#define COMMIT_SIZE 26
#define COMMIT_END 10 /* where the place behind the transaction stands in a commit */
#define ROW_LEAST 6
#define ALIVE_SIZE 18

typedef struct {
    char *bytes;
    Py_ssize_t length, room;
} Output;

typedef struct {
    PyObject *known, *holds, *needs;
    PyObject *journal;
    char last[4];
    int any; /* `last` is known to be held */
} Relations;

static uint64_t number(const char *at)
{
    uint64_t value = 0;
    for (int place = 0; place < 8; place++)
        value = value << 8 | (unsigned char)at[place];
    return value;
}

static int append(Output *out, const char *message, Py_ssize_t size)
{
    if (out->room - out->length < size + 4) {
        Py_ssize_t room = (out->room + size + 4) * 2;
        char *bytes = PyMem_Realloc(out->bytes, room);
        if (!bytes) {
            PyErr_NoMemory();
            return -1;
        }
        out->bytes = bytes;
        out->room = room;
    }
    char *to = out->bytes + out->length;
    to[0] = (char)(size >> 24);
    to[1] = (char)(size >> 16);
    to[2] = (char)(size >> 8);
    to[3] = (char)size;
    memcpy(to + 4, message, size);
    out->length += size + 4;
    return 0;
}

/* The description of a row's relation is in the piece, or is going to be. 1: yes; 0: Python must look; -1: error. */
static int described(Relations *relations, const char *id)
{
    if (relations->any && !memcmp(relations->last, id, 4))
        return 1;
    PyObject *key = PyBytes_FromStringAndSize(id, 4);
    if (!key)
        return -1;
    int held = PySet_Contains(relations->holds, key);
    if (held == 0) {
        PyObject *frame = PyDict_GetItemWithError(relations->known, key);
        int journal = PyObject_RichCompareBool(key, relations->journal, Py_EQ);
        if (journal < 0 || (!frame && PyErr_Occurred()))
            held = -1;
        else if (frame && !journal)
            held = PyDict_SetItem(relations->needs, key, frame) || PySet_Add(relations->holds, key) ? -1 : 1;
    }
    Py_DECREF(key);
    if (held == 1) {
        memcpy(relations->last, id, 4);
        relations->any = 1;
    }
    return held;
}

static int is_row(const char *payload, Py_ssize_t size)
{
    return size >= HEADER + ROW_LEAST && payload[0] == 'w' &&
           (payload[HEADER] == 'I' || payload[HEADER] == 'U' || payload[HEADER] == 'D');
}

static int payload_at(PyObject *payloads, Py_ssize_t at, char **payload, Py_ssize_t *size)
{
    return PyBytes_AsStringAndSize(PyList_GET_ITEM(payloads, at), payload, size);
}

PyDoc_STRVAR(rows_doc, "rows(payloads, at, known, holds, needs, journal, most) -> (at, frames, rows)\n\n"
                       "The run of rows that begins at a place of the list, up to about so many bytes.");

static PyObject *rows(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *payloads;
    Py_ssize_t at, most, count = 0;
    Relations relations = {0};
    Output out = {0};
    if (!PyArg_ParseTuple(arguments, "O!nO!O!O!Sn", &PyList_Type, &payloads, &at, &PyDict_Type, &relations.known,
                          &PySet_Type, &relations.holds, &PyDict_Type, &relations.needs, &relations.journal, &most))
        return NULL;
    for (; at < PyList_GET_SIZE(payloads) && out.length <= most; at++, count++) {
        char *payload;
        Py_ssize_t size;
        if (payload_at(payloads, at, &payload, &size) < 0)
            goto failed;
        if (!is_row(payload, size))
            break;
        int known = described(&relations, payload + HEADER + 1);
        if (known < 0)
            goto failed;
        if (!known)
            break;
        if (append(&out, payload + HEADER, size - HEADER) < 0)
            goto failed;
    }
    PyObject *found = Py_BuildValue("ny#n", at, out.bytes ? out.bytes : "", out.length, count);
    PyMem_Free(out.bytes);
    return found;
failed:
    PyMem_Free(out.bytes);
    return NULL;
}

PyDoc_STRVAR(whole_doc,
             "whole(payloads, at, known, holds, needs, journal, most) -> (at, frames, rows, end, reached, asked)\n\n"
             "The run of whole transactions of rows, none with more bytes than so many, and of keepalives, that\n"
             "begins at a place of the list.");

static PyObject *whole(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *payloads;
    Py_ssize_t at, done, most, count = 0, total = 0, kept = 0;
    uint64_t end = 0, reached = 0;
    int asked = 0, open = 0;
    Relations relations = {0};
    Output out = {0};
    if (!PyArg_ParseTuple(arguments, "O!nO!O!O!Sn", &PyList_Type, &payloads, &at, &PyDict_Type, &relations.known,
                          &PySet_Type, &relations.holds, &PyDict_Type, &relations.needs, &relations.journal, &most))
        return NULL;
    for (done = at; at < PyList_GET_SIZE(payloads); at++) {
        char *payload;
        Py_ssize_t size;
        if (payload_at(payloads, at, &payload, &size) < 0)
            goto failed;
        if (size == ALIVE_SIZE && payload[0] == 'k') {
            uint64_t place = number(payload + 1);
            reached = place > reached ? place : reached;
            asked |= payload[ALIVE_SIZE - 1] != 0;
            if (!open)
                done = at + 1;
            continue;
        }
        if (size <= HEADER || payload[0] != 'w')
            break;
        char kind = payload[HEADER];
        if (kind == 'B' && !open && size == HEADER + BEGIN_SIZE) {
            open = 1;
            count = 0;
        } else if (kind == 'C' && open && size == HEADER + COMMIT_SIZE) {
            end = number(payload + HEADER + COMMIT_END);
            open = 0;
        } else if (open && is_row(payload, size)) {
            int known = described(&relations, payload + HEADER + 1);
            if (known < 0)
                goto failed;
            if (!known)
                break;
            count++;
        } else
            break;
        if (out.length - kept > most)
            break;
        if (append(&out, payload + HEADER, size - HEADER) < 0)
            goto failed;
        if (!open) {
            out.length = count ? out.length : kept;
            kept = out.length;
            total += count;
            done = at + 1;
        }
    }
    PyObject *found = Py_BuildValue("ny#nKKO", done, out.bytes ? out.bytes : "", kept, total,
                                    (unsigned long long)end, (unsigned long long)reached, asked ? Py_True : Py_False);
    PyMem_Free(out.bytes);
    return found;
failed:
    PyMem_Free(out.bytes);
    return NULL;
}

static PyMethodDef methods[] = {
    {"rows", rows, METH_VARARGS, rows_doc},
    {"whole", whole, METH_VARARGS, whole_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_frames", "Runs of ordinary messages of a slot's stream.", -1, methods, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__frames(void)
{
    return PyModule_Create(&module);
}
