/* Writes the rows of a page as the text of PostgreSQL's COPY: what rows.py and copytext.py do, for what is common.
 *
 * Whatever is not common (a value outside its row, text that needs care, bytes that are no row) is left to the Python
 * code: the function stops before that record and says so. Every read is compared with an end first.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 8192, HEADER = 96, MOST = 2048, COLUMN = 18, HEAD = 6, PAIRS = 4 << 16, LEADS = 0xFF, OF_UTF8 = 0xFE };
enum { GIVE_UP = -1, IS_NULL = 0, IS_VALUE = 1 };
enum { DONE = -1, WHOLE_PAGE = -2 };
enum {
    FALLBACK, TINYINT, SMALLINT, INT, BIGINT, BIT, DECIMAL, MONEY, SMALLMONEY, DOUBLE, REAL, DATE, TIME, DATETIME2,
    DATETIMEOFFSET, DATETIME, SMALLDATETIME, NARROW, WIDE, BINARY, UUID, ROWVERSION,
};
#define DAY 864000000000ULL
#define DAYS 3652059
#define DAY_1900 693595

typedef struct {
    const uint8_t *data;
    Py_ssize_t size;
    uint8_t code; /* 0 null, 0xB a bit that is set, 0xC a symbol; else bytes */
    uint8_t complex;
} Field;

typedef struct {
    char *data;
    size_t size, room;
} Out;

typedef struct {
    const uint8_t *page, *plan, *tables, *directory, *pairs;
    int columns, compression, limit;
    size_t table_count, pair_tables;
    Out out;
    long lost, row_lost;
    /* the record at hand */
    const uint8_t *record;
    int fixed_end, count, varying, vary_at, vary_data, vary_end;
    const uint8_t *nulls; /* NULL where there is no bitmap */
    Field fields[MOST];
    int field_count;
    /* the page's own compression */
    Field anchor[MOST];
    int anchor_count, word_count, word_ends, word_data;
    uint8_t joined[3 * PAGE], plain[64], wide[8 * PAGE];
} Work;

static unsigned u16(const uint8_t *at) { return (unsigned)at[0] | (unsigned)at[1] << 8; }
static uint32_t u32(const uint8_t *at) { return (uint32_t)u16(at) | (uint32_t)u16(at + 2) << 16; }
static uint64_t u64(const uint8_t *at) { return (uint64_t)u32(at) | (uint64_t)u32(at + 4) << 32; }
static uint64_t little(const uint8_t *at, int size) {
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

/* ---- Output ---- */

static int reserve(Out *out, size_t more) {
    if (out->size + more <= out->room) return 1;
    size_t room = out->room * 2 > out->size + more ? out->room * 2 : out->size + more + 4096;
    char *data = realloc(out->data, room);
    if (!data) return 0;
    out->data = data;
    out->room = room;
    return 1;
}

/* These write into room that was reserved. */
static void put(Out *out, char byte) { out->data[out->size++] = byte; }
static void put_all(Out *out, const char *text, size_t size) {
    memcpy(out->data + out->size, text, size);
    out->size += size;
}
static void put_digits(Out *out, uint64_t value, int width) {
    for (int i = width - 1; i >= 0; i--, value /= 10) out->data[out->size + (size_t)i] = (char)('0' + value % 10);
    out->size += (size_t)width;
}
static void put_unsigned(Out *out, uint64_t value) {
    char digits[20];
    int at = 20;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put_all(out, digits + at, (size_t)(20 - at));
}
static void put_signed(Out *out, int64_t value) {
    if (value < 0) put(out, '-');
    put_unsigned(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static int put_decimal(Out *out, int negative, unsigned __int128 value, int scale) {
    char digits[64];
    int at = 64, count = 0;
    if (!reserve(out, 96)) return GIVE_UP;
    if (negative && value) put(out, '-');
    while (value || count <= scale) {
        digits[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
        count++;
    }
    put_all(out, digits + at, (size_t)(count - scale));
    if (scale) {
        put(out, '.');
        put_all(out, digits + 64 - scale, (size_t)scale);
    }
    return IS_VALUE;
}

static void put_date(Out *out, uint32_t days) {
    /* Years that begin in March, in eras of 400 (a well-known way to count days). */
    uint32_t z = days + 306, era = z / 146097, in_era = z % 146097;
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;
    uint32_t day = in_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    put_digits(out, year + era * 400 + (month <= 2), 4);
    put(out, '-');
    put_digits(out, month, 2);
    put(out, '-');
    put_digits(out, day, 2);
}

static void put_clock(Out *out, uint64_t ticks) {
    uint64_t seconds = ticks / 10000000, part = ticks % 10000000;
    put_digits(out, seconds / 3600, 2);
    put(out, ':');
    put_digits(out, seconds / 60 % 60, 2);
    put(out, ':');
    put_digits(out, seconds % 60, 2);
    if (!part) return;
    put(out, '.');
    put_digits(out, part, 7);
    while (out->data[out->size - 1] == '0') out->size--;
}

/* ---- Values ---- */

/* Digits and the exponent of the first, as PostgreSQL spells them: plain from 0.0001 on up to `most` digits. */
static void put_spelled(Out *out, int negative, const char *digits, int count, int exponent, int most) {
    if (negative) put(out, '-');
    if (exponent < -4 || exponent >= most) {
        put(out, digits[0]);
        if (count > 1) put(out, '.');
        put_all(out, digits + 1, (size_t)count - 1);
        put(out, 'e');
        put(out, exponent < 0 ? '-' : '+');
        if (abs(exponent) < 10) put(out, '0');
        put_unsigned(out, (uint64_t)abs(exponent));
    } else if (exponent < 0) {
        put_all(out, "0.", 2);
        for (int i = -1; i > exponent; i--) put(out, '0');
        put_all(out, digits, (size_t)count);
    } else {
        for (int i = 0; i <= exponent || i < count; i++) {
            if (i == exponent + 1) put(out, '.');
            put(out, i < count ? digits[i] : '0');
        }
    }
}

static int put_number_text(Out *out, int negative, const char *text, int most) {
    char digits[40];
    int count = 0, exponent = 0, whole = -1, started = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text == '.') {
            whole = count + (started ? 0 : -zeros);
            continue;
        }
        if (*text == '0' && !started) {
            if (whole >= 0 || (whole == -1 && text[1] == '.')) zeros += whole >= 0;
            continue;
        }
        if (count >= 38) return GIVE_UP;
        started = 1;
        digits[count++] = *text;
    }
    if (*text == 'e') exponent = atoi(text + 1);
    if (!count) {
        put_spelled(out, negative, "0", 1, 0, most);
        return IS_VALUE;
    }
    /* zeros: those between the point and the first digit */
    exponent += zeros ? -zeros - 1 : whole > 0 ? whole - 1 : whole == 0 ? -1 : count - 1;
    while (count > 1 && digits[count - 1] == '0') count--;
    put_spelled(out, negative, digits, count, exponent, most);
    return IS_VALUE;
}

static int put_double(Out *out, const uint8_t *data) {
    double size;
    const uint64_t bits = u64(data), unsigned_bits = bits & INT64_MAX;
    memcpy(&size, &unsigned_bits, 8);
    if (!(size < 9007199254740992.0) || !reserve(out, 64)) return GIVE_UP;
    char *text = PyOS_double_to_string(size, 'r', 0, 0, NULL);
    if (!text) {
        PyErr_Clear();
        return GIVE_UP;
    }
    int done = put_number_text(out, (int)(bits >> 63), text, 15);
    PyMem_Free(text);
    return done;
}

static int put_real(Out *out, const uint8_t *data) {
    float size;
    const uint32_t bits = u32(data), unsigned_bits = bits & INT32_MAX;
    memcpy(&size, &unsigned_bits, 4);
    if (!(size < 16777216.0f) || (size != 0 && size < 1.3e-38f) || !reserve(out, 64)) return GIVE_UP;
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        if (digits > 6 && size != 0 && !(bits & 0x7FFFFF)) return GIVE_UP; /* a power of two: its neighbours differ */
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)size);
        if ((float)strtod(text, NULL) == size) break;
    }
    return put_number_text(out, (int)(bits >> 31), text, 6);
}

static int put_times(Work *work, int operation, int scale, const uint8_t *data, Py_ssize_t size) {
    static const uint64_t units[] = {10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    int clock = scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
    int days_at = operation == TIME ? -1 : clock;
    if (scale > 7 || size != clock + (operation == TIME ? 0 : operation == DATETIME2 ? 3 : 5)) return GIVE_UP;
    uint64_t ticks = little(data, clock) * units[scale];
    if (ticks >= DAY || !reserve(&work->out, 48)) return GIVE_UP;
    if (ticks % 10) {
        work->row_lost++;
        ticks = (ticks + 5) / 10 * 10;
        if (ticks >= DAY) ticks = DAY - 10;
    }
    if (days_at >= 0) {
        uint32_t days = (uint32_t)little(data + days_at, 3);
        int offset = operation == DATETIMEOFFSET ? (int16_t)u16(data + days_at + 3) : 0;
        if (days >= DAYS || offset > 840 || offset < -840) return GIVE_UP;
        put_date(&work->out, days);
        put(&work->out, ' ');
    }
    put_clock(&work->out, ticks);
    if (operation == DATETIMEOFFSET) put_all(&work->out, "+00", 3);
    return IS_VALUE;
}

static int put_moment(Out *out, int32_t days, uint64_t ticks) {
    if (!reserve(out, 48)) return GIVE_UP;
    put_date(out, (uint32_t)(days + DAY_1900));
    put(out, ' ');
    put_clock(out, ticks);
    return IS_VALUE;
}

/* One character of UTF-8: how many bytes, 0 if they are none. */
static int utf8_size(const uint8_t *data, Py_ssize_t left) {
    const uint32_t first = data[0];
    const int size = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (!size || size > left) return 0;
    for (int i = 1; i < size; i++)
        if ((data[i] & 0xC0) != 0x80) return 0;
    if ((first == 0xE0 && data[1] < 0xA0) || (first == 0xED && data[1] >= 0xA0)) return 0;
    if ((first == 0xF0 && data[1] < 0x90) || (first == 0xF4 && data[1] >= 0x90)) return 0;
    return size;
}

/* The table has for each byte how many bytes it becomes, and these; or that it begins a pair, or is of UTF-8. */
static int put_narrow(Work *work, int number, const uint8_t *data, Py_ssize_t size, int pad) {
    Out *out = &work->out;
    const uint8_t *table = work->tables + 1024 * (size_t)number;
    int characters = 0;
    if (!reserve(out, 3 * (size_t)size + (size_t)pad)) return GIVE_UP;
    for (Py_ssize_t i = 0; i < size; i++, characters++) {
        const uint8_t *entry = table + 4 * (size_t)data[i];
        if (entry[0] == OF_UTF8) {
            const int whole = utf8_size(data + i, size - i);
            if (!whole) return GIVE_UP;
            put_all(out, (const char *)data + i, (size_t)whole);
            i += whole - 1;
            continue;
        }
        if (entry[0] == LEADS) {
            const unsigned pairs = u16(work->directory + 2 * number);
            if (i + 1 >= size || pairs >= work->pair_tables) return GIVE_UP;
            entry = work->pairs + PAIRS * (size_t)pairs + 4 * ((size_t)data[i] << 8 | data[i + 1]);
            i++;
        }
        if (!entry[0] || entry[0] > 3) return GIVE_UP;
        memcpy(out->data + out->size, entry + 1, 3);
        out->size += entry[0];
    }
    for (; characters < pad; characters++) put(out, ' ');
    return IS_VALUE;
}

static int put_point(Out *out, uint32_t point) {
    if (point < 0x80) {
        const char *escaped = NULL;
        switch (point) {
        case 0: return GIVE_UP;
        case '\b': escaped = "\\b"; break;
        case '\t': escaped = "\\t"; break;
        case '\n': escaped = "\\n"; break;
        case '\v': escaped = "\\v"; break;
        case '\f': escaped = "\\f"; break;
        case '\r': escaped = "\\r"; break;
        case '\\': escaped = "\\\\"; break;
        }
        if (escaped) put_all(out, escaped, 2);
        else put(out, (char)point);
    } else if (point < 0x800) {
        put(out, (char)(0xC0 | point >> 6));
        put(out, (char)(0x80 | (point & 0x3F)));
    } else if (point < 0x10000) {
        put(out, (char)(0xE0 | point >> 12));
        put(out, (char)(0x80 | (point >> 6 & 0x3F)));
        put(out, (char)(0x80 | (point & 0x3F)));
    } else {
        put(out, (char)(0xF0 | point >> 18));
        put(out, (char)(0x80 | (point >> 12 & 0x3F)));
        put(out, (char)(0x80 | (point >> 6 & 0x3F)));
        put(out, (char)(0x80 | (point & 0x3F)));
    }
    return IS_VALUE;
}

static int put_wide(Out *out, const uint8_t *data, Py_ssize_t size, int pad) {
    int characters = 0;
    if (size & 1 || !reserve(out, 2 * (size_t)size + (size_t)pad)) return GIVE_UP;
    for (Py_ssize_t i = 0; i < size; i += 2, characters++) {
        uint32_t point = u16(data + i);
        if (point >= 0xD800 && point < 0xE000) {
            if (point >= 0xDC00 || i + 4 > size) return GIVE_UP;
            uint32_t low = u16(data + i + 2);
            if (low < 0xDC00 || low >= 0xE000) return GIVE_UP;
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
            i += 2;
        }
        if (put_point(out, point) == GIVE_UP) return GIVE_UP;
    }
    for (; characters < pad; characters++) put(out, ' ');
    return IS_VALUE;
}

/* Text in the Standard Compression Scheme for Unicode: the same steps as scsu.py, into UTF-16. */
typedef struct {
    const uint8_t *data;
    Py_ssize_t at, size, made;
    uint32_t windows[8];
    int active, wide;
    uint8_t *text;
    Py_ssize_t room;
} Scsu;

static int put_unit(Scsu *scsu, uint32_t unit) {
    if (scsu->made + 2 > scsu->room) return GIVE_UP;
    scsu->text[scsu->made++] = (uint8_t)unit;
    scsu->text[scsu->made++] = (uint8_t)(unit >> 8);
    return IS_VALUE;
}

static int put_units(Scsu *scsu, uint32_t point) {
    if (point < 0x10000) return put_unit(scsu, point);
    if (point > 0x10FFFF) return GIVE_UP;
    point -= 0x10000;
    if (put_unit(scsu, 0xD800 + (point >> 10)) == GIVE_UP) return GIVE_UP;
    return put_unit(scsu, 0xDC00 + (point & 0x3FF));
}

static int define_window(Scsu *scsu, int window, uint32_t offset) {
    static const uint32_t special[] = {0x00C0, 0x0250, 0x0370, 0x0530, 0x3040, 0x30A0, 0xFF60};
    if (offset >= 0x01 && offset <= 0x67) scsu->windows[window] = offset * 0x80;
    else if (offset >= 0x68 && offset <= 0xA7) scsu->windows[window] = offset * 0x80 + 0xAC00;
    else if (offset >= 0xF9) scsu->windows[window] = special[offset - 0xF9];
    else return GIVE_UP;
    scsu->active = window;
    scsu->wide = 0;
    return IS_VALUE;
}

static int define_far(Scsu *scsu, uint32_t high, uint32_t low) {
    scsu->active = (int)(high >> 5);
    scsu->windows[scsu->active] = 0x10000 + ((high & 0x1F) << 8 | low) * 0x80;
    scsu->wide = 0;
    return IS_VALUE;
}

/* One step. IS_NULL: what is left is a filler. */
static int scsu_step(Scsu *scsu) {
    static const uint32_t fixed[] = {0x0000, 0x0080, 0x0100, 0x0300, 0x2000, 0x2080, 0x2100, 0x3000};
    const uint8_t *at = scsu->data + scsu->at;
    const Py_ssize_t left = scsu->size - scsu->at - 1;
    const uint32_t byte = at[0];
    scsu->at++;
    if (scsu->wide ? byte >= 0xE0 && byte < 0xE8 : byte >= 0x10 && byte < 0x18) {
        scsu->active = (int)(byte & 7);
        scsu->wide = 0;
        return IS_VALUE;
    }
    if (!scsu->wide) {
        if (byte >= 0x80) return put_units(scsu, scsu->windows[scsu->active] + byte - 0x80);
        if (byte >= 0x20 || byte == 0 || byte == 9 || byte == 10 || byte == 13) return put_unit(scsu, byte);
        if (byte == 0x0F) return scsu->wide = 1;
        if (byte == 0x0C) return GIVE_UP;
    } else if (byte == 0xF2) return GIVE_UP;
    /* What is left takes one or two bytes more. */
    const int one = scsu->wide ? byte >= 0xE8 && byte < 0xF0 : byte <= 0x08 || byte >= 0x18;
    const int pair = scsu->wide && (byte < 0xE0 || byte > 0xF2);
    if (left < (one || pair ? 1 : 2)) return IS_NULL;
    scsu->at += one || pair ? 1 : 2;
    if (pair) return put_unit(scsu, byte << 8 | at[1]);
    if (one && (scsu->wide || byte >= 0x18)) return define_window(scsu, (int)(byte & 7), at[1]);
    if (one) {
        const int window = (int)byte - 1;
        return put_units(scsu, at[1] < 0x80 ? fixed[window] + at[1] : scsu->windows[window] + at[1] - 0x80);
    }
    if (byte == 0x0E || byte == 0xF0) return put_unit(scsu, (uint32_t)at[1] << 8 | at[2]);
    return define_far(scsu, at[1], at[2]);
}

static int put_scsu(Work *work, const uint8_t *data, Py_ssize_t size, int pad) {
    Scsu scsu = {data, 0, size, 0, {0x0080, 0x00C0, 0x0400, 0x0600, 0x0900, 0x3040, 0x30A0, 0xFF00}, 0, 0,
                 work->wide, (Py_ssize_t)sizeof work->wide};
    while (scsu.at < scsu.size) {
        int found = scsu_step(&scsu);
        if (found == GIVE_UP) return GIVE_UP;
        if (found == IS_NULL) break;
    }
    return put_wide(&work->out, work->wide, scsu.made, pad);
}

static const char HEX[] = "0123456789abcdef";

static void put_hex(Out *out, const uint8_t *data, Py_ssize_t size) {
    for (Py_ssize_t i = 0; i < size; i++) {
        put(out, HEX[data[i] >> 4]);
        put(out, HEX[data[i] & 15]);
    }
}

static int put_binary(Out *out, const uint8_t *data, Py_ssize_t size, int fixed) {
    if (!reserve(out, 2 * (size_t)size + 2 * (size_t)fixed + 4)) return GIVE_UP;
    put_all(out, "\\\\x", 3);
    put_hex(out, data, size);
    for (Py_ssize_t i = size; i < fixed; i++) put_all(out, "00", 2);
    return IS_VALUE;
}

static int put_uuid(Out *out, const uint8_t *data) {
    static const int order[] = {3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
    if (!reserve(out, 40)) return GIVE_UP;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (order[i] < 0) put(out, '-');
        else put_hex(out, data + order[i], 1);
    }
    return IS_VALUE;
}

/* ---- Columns ---- */

typedef struct {
    int operation, scale, bitpos, table, offset, nullbit, length, pad, fixed;
} Column;

static Column column_of(const Work *work, int index) {
    const uint8_t *at = work->plan + HEAD + COLUMN * index;
    return (Column){at[0],        at[1],        at[2],         (int)u16(at + 4),  (int16_t)u16(at + 6),
                    (int)u16(at + 8), (int)u16(at + 10), (int)u16(at + 12), (int)u16(at + 14)};
}

/* A value in the form of an uncompressed record. */
static int put_value(Work *work, const Column *column, const uint8_t *data, Py_ssize_t size) {
    Out *out = &work->out;
    if (column->fixed && column->operation != NARROW && column->operation != WIDE && column->operation != BINARY &&
        size != column->fixed)
        return GIVE_UP;
    if (!reserve(out, 64)) return GIVE_UP;
    switch (column->operation) {
    case TINYINT: put_unsigned(out, data[0]); return IS_VALUE;
    case SMALLINT: put_signed(out, (int16_t)u16(data)); return IS_VALUE;
    case INT: put_signed(out, (int32_t)u32(data)); return IS_VALUE;
    case BIGINT: put_signed(out, (int64_t)u64(data)); return IS_VALUE;
    case BIT: put(out, data[0] ? 't' : 'f'); return IS_VALUE;
    case MONEY:
    case SMALLMONEY: {
        int64_t value = column->operation == MONEY ? (int64_t)u64(data) : (int32_t)u32(data);
        return put_decimal(out, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 4);
    }
    case DECIMAL: {
        if (data[0] > 1 || column->scale > 38) return GIVE_UP;
        unsigned __int128 value = little(data + 1, size > 9 ? 8 : (int)size - 1);
        if (size > 9) value |= (unsigned __int128)little(data + 9, (int)size - 9) << 64;
        return put_decimal(out, !data[0], value, column->scale);
    }
    case DOUBLE: return put_double(out, data);
    case REAL: return put_real(out, data);
    case DATE: {
        uint32_t days = (uint32_t)little(data, 3);
        if (days >= DAYS) return GIVE_UP;
        put_date(out, days);
        return IS_VALUE;
    }
    case TIME:
    case DATETIME2:
    case DATETIMEOFFSET: return put_times(work, column->operation, column->scale, data, size);
    case DATETIME: {
        uint64_t ticks = u32(data);
        int32_t days = (int32_t)u32(data + 4);
        if (ticks >= 25920000 || days < -53690 || days > 2958463) return GIVE_UP;
        return put_moment(out, days, (ticks * 10 + 1) / 3 * 10000);
    }
    case SMALLDATETIME: {
        uint64_t minutes = u16(data);
        if (minutes >= 1440) return GIVE_UP;
        return put_moment(out, (int32_t)u16(data + 2), minutes * 600000000ULL);
    }
    case NARROW:
        if ((size_t)column->table >= work->table_count) return GIVE_UP;
        return put_narrow(work, column->table, data, size, column->pad);
    case WIDE: return put_wide(out, data, size, column->pad);
    case BINARY: return put_binary(out, data, size, 0);
    case ROWVERSION: return size == 8 ? put_binary(out, data, 8, 0) : GIVE_UP;
    case UUID: return size == 16 ? put_uuid(out, data) : GIVE_UP;
    default: return GIVE_UP;
    }
}

/* ---- Uncompressed records ---- */

/* Reads a record's frame. IS_NULL: it is no row. */
static int open_record(Work *work, int at) {
    const uint8_t *record = work->page + at;
    int kind = record[0] >> 1 & 7, room = work->limit - at;
    if (kind > 1 || (kind == 1 && record[1] & 1)) return kind == 3 || kind == 4 || kind == 5 ? GIVE_UP : IS_NULL;
    work->record = record;
    work->fixed_end = (int)u16(record + 2);
    int place = work->fixed_end;
    if (place < 4 || place + 2 > room) return GIVE_UP;
    work->count = 0xFFFF;
    work->nulls = NULL;
    if (record[0] & 0x10) {
        work->count = (int)u16(record + place);
        work->nulls = record + place + 2;
        place += 2 + ((work->count + 7) >> 3);
    }
    work->varying = 0;
    if (place > room) return GIVE_UP;
    if (!(record[0] & 0x20)) return IS_VALUE;
    if (place + 2 > room) return GIVE_UP;
    work->varying = (int)u16(record + place);
    work->vary_at = place + 2;
    work->vary_data = work->vary_at + 2 * work->varying;
    if (work->vary_data > room) return GIVE_UP;
    if (work->varying) {
        int end = (int)u16(record + work->vary_data - 2);
        work->vary_end = end & 0x7FFF;
        if (work->vary_end > room) return GIVE_UP;
        if (kind == 1 && end & 0x8000) {
            int start = work->varying > 1 ? (int)(u16(record + work->vary_data - 4) & 0x7FFF) : work->vary_data;
            if (start < work->vary_data || start + 2 > (end & 0x7FFF)) return GIVE_UP;
            if (record[start] == 0 && record[start + 1] == 4) work->varying--; /* the place of its stub */
        }
    }
    return IS_VALUE;
}

static int put_column(Work *work, const Column *column) {
    const uint8_t *record = work->record;
    if (!column->offset && !column->nullbit) { /* sparse */
        if (work->varying && u16(record + work->vary_at + 2 * (work->varying - 1)) & 0x8000) return GIVE_UP;
        return IS_NULL;
    }
    if (work->count < column->nullbit) return GIVE_UP;
    if (column->nullbit && work->nulls && work->nulls[(column->nullbit - 1) >> 3] >> ((column->nullbit - 1) & 7) & 1)
        return IS_NULL;
    if (column->operation == FALLBACK) return GIVE_UP;
    if (column->operation == BIT) {
        if (column->offset < 4 || column->offset >= work->fixed_end) return GIVE_UP;
        const uint8_t set = record[column->offset] >> column->bitpos & 1;
        return put_value(work, column, &set, 1);
    }
    if (column->offset >= 0) {
        if (column->offset + column->fixed > work->fixed_end) return GIVE_UP;
        return put_value(work, column, record + column->offset, column->fixed);
    }
    int number = -column->offset;
    if (number > work->varying) return put_value(work, column, record, 0);
    int end = (int)u16(record + work->vary_at + 2 * (number - 1));
    int start = number > 1 ? (int)(u16(record + work->vary_at + 2 * (number - 2)) & 0x7FFF) : work->vary_data;
    if (end & 0x8000 || start < work->vary_data || end < start || end > work->vary_end) return GIVE_UP;
    return put_value(work, column, record + start, end - start);
}

/* ---- Compressed records ---- */

/* Reads the columns of a record at `at`. The number of them, or GIVE_UP. */
static int read_fields(const uint8_t *page, int at, int limit, Field *fields) {
    if (at + 3 > limit) return GIVE_UP;
    int place = at + 1, count = page[place++];
    if (count & 0x80) count = (count & 0x7F) << 8 | page[place++];
    if (!count || count > MOST) return GIVE_UP;
    int codes = place, wanted = 0;
    place += ((count + 1) >> 1) + (count - 1) / 30;
    if (place > limit) return GIVE_UP;
    for (int i = 0; i < count; i++) {
        int code = i & 1 ? page[codes + (i >> 1)] >> 4 : page[codes + (i >> 1)] & 15;
        int size = code > 1 && code < 10 ? code - 1 : code == 12 ? 1 : 0;
        if (code > 12 || place + size > limit) return GIVE_UP;
        fields[i] = (Field){page + place, size, (uint8_t)code, 0};
        wanted += code == 10;
        place += size;
    }
    if (!(page[at] & 0x20)) return wanted ? GIVE_UP : count;
    if (place + 3 > limit) return GIVE_UP;
    int entries = (int)u16(page + place + 1), ends = place + 3, before = 0;
    int start = ends + 2 * entries + (count - 1) / 30;
    if (wanted > entries || ends + 2 * entries > limit || start > limit) return GIVE_UP;
    for (int i = 0; i < count; i++) {
        if (fields[i].code != 10) continue;
        int end = (int)u16(page + ends), upto = end & 0x7FFF;
        ends += 2;
        if (upto < before || upto > limit - start) return GIVE_UP;
        fields[i].data = page + start + before;
        fields[i].size = upto - before;
        fields[i].complex = end & 0x8000 ? 1 : 0;
        before = upto;
    }
    return count;
}

static int read_information(Work *work) {
    const uint8_t *page = work->page;
    work->anchor_count = work->word_count = 0;
    if (!(page[2] & 0x80) || page[HEADER] & 1 || !(page[HEADER] & 6)) return IS_VALUE;
    int words = page[HEADER] & 4, start = HEADER + 5 + (words ? 2 : 0);
    int end = HEADER + (int)u16(page + HEADER + 3), whole = HEADER + (int)u16(page + HEADER + (words ? 5 : 3));
    if (end > PAGE || whole > PAGE) return GIVE_UP;
    if (page[HEADER] & 2) {
        work->anchor_count = read_fields(page, start, end, work->anchor);
        if (work->anchor_count < 0) return GIVE_UP;
    }
    if (!words) return IS_VALUE;
    if (end + 2 > whole) return GIVE_UP;
    work->word_count = (int)u16(page + end);
    work->word_ends = end + 2;
    work->word_data = end + 2 + 2 * work->word_count;
    if (work->word_data > whole) return GIVE_UP;
    for (int i = 0, before = 0; i < work->word_count; i++) {
        int word = (int)u16(page + work->word_ends + 2 * i);
        if (word < before || word > whole - work->word_data) return GIVE_UP;
        before = word;
    }
    return IS_VALUE;
}

/* Puts a value together from the page's dictionary and anchor. */
static int resolve(Work *work, int index, Field *field) {
    if (field->code == 12) {
        int number = field->data[0];
        if (number >= work->word_count) return GIVE_UP;
        const uint8_t *ends = work->page + work->word_ends;
        int start = number ? (int)u16(ends + 2 * (number - 1)) : 0;
        *field = (Field){work->page + work->word_data + start, (int)u16(ends + 2 * number) - start, 10, 0};
    }
    if (!field->code) return IS_NULL;
    if (field->complex) return GIVE_UP;
    if (field->code == 11 || index >= work->anchor_count) return IS_VALUE;
    const Field *anchor = &work->anchor[index];
    if (!anchor->code || anchor->complex || anchor->code == 12) return IS_VALUE;
    if (anchor->code == 11) return GIVE_UP;
    if (!field->size) {
        *field = *anchor;
        return IS_VALUE;
    }
    int length = field->data[0], start = 1;
    if (length & 0x80) {
        if (field->size < 2) return GIVE_UP;
        length = (length & 0x7F) << 8 | field->data[1];
        start = 2;
    }
    if (length > anchor->size || length + field->size > (Py_ssize_t)sizeof work->joined) return GIVE_UP;
    memcpy(work->joined, anchor->data, (size_t)length);
    memcpy(work->joined + length, field->data + start, (size_t)(field->size - start));
    *field = (Field){work->joined, length + field->size - start, 10, 0};
    return IS_VALUE;
}

/* The highest byte first, half of the range added. */
static int biased(const Field *field, int64_t *value) {
    if (field->size > 8) return GIVE_UP;
    uint64_t number = 0;
    for (Py_ssize_t i = 0; i < field->size; i++) number = number << 8 | field->data[i];
    *value = field->size ? (int64_t)(number - (1ULL << (8 * field->size - 1))) : 0;
    return IS_VALUE;
}

static int put_vardecimal(Work *work, const Column *column, const Field *field) {
    if (!field->size) return put_decimal(&work->out, 0, 0, column->scale);
    unsigned __int128 value = 0;
    const unsigned __int128 most = (unsigned __int128)-1 / 1000 - 1;
    int bits = 8 * ((int)field->size - 1), groups = (bits + 9) / 10;
    if (groups > 14) return GIVE_UP;
    for (int i = 0; i < groups; i++) {
        unsigned number = 0;
        for (int bit = 10 * i; bit < 10 * i + 10; bit++)
            number = number << 1 | (bit < bits ? field->data[1 + (bit >> 3)] >> (7 - (bit & 7)) & 1u : 0u);
        if (number > 999 || value > most) return GIVE_UP;
        value = value * 1000 + number;
    }
    int shift = (field->data[0] & 0x7F) - 64 - (3 * groups - 1) + column->scale;
    for (; shift > 0; shift--) {
        if (value > most) return GIVE_UP;
        value *= 10;
    }
    for (; shift < 0; shift++) {
        if (value % 10) return GIVE_UP;
        value /= 10;
    }
    if (column->fixed < 17 && value >> 8 * (column->fixed - 1)) return GIVE_UP;
    return put_decimal(&work->out, !(field->data[0] & 0x80), value, column->scale);
}

static int put_padded(Work *work, const Column *column, const Field *field, int behind) {
    if (column->fixed > (int)sizeof work->plain || field->size > column->fixed) return GIVE_UP;
    memset(work->plain, 0, sizeof work->plain);
    memcpy(work->plain + (behind ? 0 : column->fixed - field->size), field->data, (size_t)field->size);
    return put_value(work, column, work->plain, column->fixed);
}

static int put_compressed(Work *work, const Column *column) {
    int index = column->nullbit - 1;
    int64_t value = 0;
    if (index < 0 || index >= work->field_count) return GIVE_UP;
    Field field = work->fields[index];
    int found = resolve(work, index, &field);
    if (found != IS_VALUE) return found;
    if (field.code == 11) {
        static const uint8_t set = 1;
        return column->operation == BIT ? put_value(work, column, &set, 1) : GIVE_UP;
    }
    switch (column->operation) {
    case TINYINT:
    case BIT: return put_padded(work, column, &field, 1);
    case SMALLINT:
    case INT:
    case BIGINT:
    case MONEY:
    case SMALLMONEY: {
        if (biased(&field, &value) == GIVE_UP) return GIVE_UP;
        int64_t top = column->fixed < 8 ? (int64_t)1 << (8 * column->fixed - 1) : INT64_MAX;
        if (column->fixed < 8 && (value >= top || value < -top)) return GIVE_UP;
        for (int i = 0; i < 8; i++) work->plain[i] = (uint8_t)((uint64_t)value >> 8 * i);
        return put_value(work, column, work->plain, column->fixed);
    }
    case DATETIME:
        if (biased(&field, &value) == GIVE_UP) return GIVE_UP;
        for (int i = 0; i < 8; i++) work->plain[i] = (uint8_t)((uint64_t)value >> 8 * i);
        return put_value(work, column, work->plain, 8);
    case DECIMAL: return put_vardecimal(work, column, &field);
    case DATE:
    case TIME:
    case DATETIME2:
    case DATETIMEOFFSET: return put_padded(work, column, &field, 1);
    case DOUBLE:
    case REAL:
    case SMALLDATETIME: return put_padded(work, column, &field, 0);
    case WIDE:
        if (field.size & 1) return put_scsu(work, field.data, field.size, column->pad);
        return put_value(work, column, field.data, field.size);
    case BINARY: return put_binary(&work->out, field.data, field.size, column->fixed);
    case NARROW:
    case ROWVERSION:
    case UUID: return put_value(work, column, field.data, field.size);
    default: return GIVE_UP;
    }
}

static int open_compressed(Work *work, int at) {
    int kind = work->page[at] >> 2 & 7;
    if (!(work->page[at] & 1) || kind >= 6) return GIVE_UP;
    if (kind != 0 && kind != 4) return IS_NULL;
    work->field_count = read_fields(work->page, at, work->limit, work->fields);
    return work->field_count < 0 ? GIVE_UP : IS_VALUE;
}

/* ---- Pages ---- */

/* Writes one row. IS_NULL: there is none there; GIVE_UP: it is for the Python code. */
static int put_row(Work *work, int at) {
    int found = work->compression ? open_compressed(work, at) : open_record(work, at);
    if (found != IS_VALUE) return found;
    for (int i = 0; i < work->columns; i++) {
        const Column column = column_of(work, i);
        if (!reserve(&work->out, 8)) return GIVE_UP;
        if (i) put(&work->out, '\t');
        found = work->compression ? put_compressed(work, &column) : put_column(work, &column);
        if (found == GIVE_UP || !reserve(&work->out, 8)) return GIVE_UP;
        if (found == IS_NULL) put_all(&work->out, "\\N", 2);
    }
    put(&work->out, '\n');
    return IS_VALUE;
}

/* From that record on. Returns the record it stopped at, DONE, or WHOLE_PAGE: all of it is for the Python code. */
static int walk(Work *work, int slot, long *rows) {
    int count = (int)u16(work->page + 22);
    work->limit = PAGE - 2 * count;
    if (work->limit < HEADER) return WHOLE_PAGE;
    if (work->compression && read_information(work) == GIVE_UP) return WHOLE_PAGE;
    for (; slot < count; slot++) {
        int at = (int)u16(work->page + PAGE - 2 * slot - 2);
        if (at < HEADER) continue;
        size_t before = work->out.size;
        work->row_lost = 0;
        int found = at > work->limit - 4 ? GIVE_UP : put_row(work, at);
        if (found != IS_VALUE) work->out.size = before;
        if (found == GIVE_UP) return slot;
        if (found == IS_NULL) continue;
        work->lost += work->row_lost;
        ++*rows;
    }
    return DONE;
}

static int prepare(Work *work, const Py_buffer *page, const Py_buffer *plan) {
    if (page->len != PAGE || plan->len < HEAD) return 0;
    work->page = page->buf;
    work->plan = plan->buf;
    work->columns = (int)u16(work->plan);
    work->compression = (int)u16(work->plan + 2);
    work->table_count = u16(work->plan + 4);
    const Py_ssize_t tables = HEAD + COLUMN * (Py_ssize_t)work->columns;
    const Py_ssize_t pairs = tables + 1026 * (Py_ssize_t)work->table_count;
    if (plan->len < pairs) return 0;
    work->tables = work->plan + tables;
    work->directory = work->tables + 1024 * work->table_count;
    work->pairs = work->plan + pairs;
    work->pair_tables = (size_t)(plan->len - pairs) / PAIRS;
    return 1;
}

static Work shared;
/* Of one page at a time: the lock of the interpreter is held all the while. Too large to be made anew for each. */

static PyObject *py_copy_text(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer page, plan;
    int slot;
    long rows = 0;
    PyObject *result = NULL;
    Work *work = &shared;
    if (!PyArg_ParseTuple(args, "y*y*i", &page, &plan, &slot)) return NULL;
    work->out.size = 0;
    work->lost = work->row_lost = 0;
    if (!prepare(work, &page, &plan) || slot < 0)
        PyErr_SetString(PyExc_ValueError, "a page or a plan of another size");
    else if (!reserve(&work->out, 4 * PAGE))
        PyErr_NoMemory();
    else {
        int stopped = walk(work, slot, &rows);
        result = Py_BuildValue("(y#lil)", work->out.data, (Py_ssize_t)work->out.size, rows, stopped, work->lost);
    }
    PyBuffer_Release(&page);
    PyBuffer_Release(&plan);
    return result;
}

static PyMethodDef methods[] = {
    {"copy_text", py_copy_text, METH_VARARGS, "copy_text(page, plan, first) -> (text, rows, stopped, digits lost)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void) { return PyModule_Create(&module); }
