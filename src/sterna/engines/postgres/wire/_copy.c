/* Walks the rows of a binary COPY: how many there are, and where a run of them ends.
 *
 * A row is a count of fields in two bytes, then for each field its length in four bytes, -1 for a null, and that many
 * bytes (PostgreSQL documentation, COPY, "Binary Format"). Every read is compared with the end of the buffer first.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* Where the row at `at` ends; -1: it is not whole, or is no row. */
static Py_ssize_t row_end(const unsigned char *data, Py_ssize_t size, Py_ssize_t at) {
    if (size - at < 2) return -1;
    int fields = (int16_t)(data[at] << 8 | data[at + 1]);
    at += 2;
    if (fields < 0) return -1;
    while (fields--) {
        if (size - at < 4) return -1;
        int32_t length = (int32_t)((uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 |
                                   (uint32_t)data[at + 3]);
        at += 4;
        if (length < -1 || (length > 0 && size - at < length)) return -1;
        if (length > 0) at += length;
    }
    return at;
}

static PyObject *py_walk(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer buffer;
    Py_ssize_t at, stop, rows = 0;
    if (!PyArg_ParseTuple(args, "y*nn", &buffer, &at, &stop)) return NULL;
    const unsigned char *data = buffer.buf;
    const Py_ssize_t size = buffer.len;
    if (at < 0) at = size;
    Py_BEGIN_ALLOW_THREADS
    while (at < stop && at < size) {
        Py_ssize_t end = row_end(data, size, at);
        if (end < 0) break;
        at = end;
        rows++;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    return Py_BuildValue("(nn)", rows, at);
}

static PyMethodDef methods[] = {
    {"walk", py_walk, METH_VARARGS, "walk(data, at, stop) -> (rows, end)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_copy", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__copy(void) { return PyModule_Create(&module); }
