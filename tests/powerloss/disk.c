/* disk.c - see disk.h. */
#define _GNU_SOURCE

#include "tests/powerloss/disk.h"
#include "tests/powerloss/names.h"

#include <stdio.h>

enum { NAME_OPERATIONS_MAX = 64, FILES_MAX = 64 };

/* Written, not synced. */
struct pending {
    const struct operation *operation;
    bool is_durable; /* by itself; it stays in line because of what came before it */
};

struct file {
    uint64_t number;
    bool is_mapped;
    uint8_t *data; /* durable */
    size_t data_size;
    size_t capacity;
    size_t size; /* zeros follow the data */
    struct pending *pending;
    size_t pending_count;
    size_t pending_capacity;
};

struct disk {
    struct file *files[FILES_MAX]; /* the newest of a number comes last */
    size_t file_count;
    struct names durable;
    struct {
        const struct operation *operation;
        struct file *file; /* of CREATE */
    } pending[NAME_OPERATIONS_MAX];
    size_t pending_count;
    const struct operation *under_way;
    char error[IMAGE_ERROR_SIZE];
};

static bool set_error(struct disk *d, const char *text, const char *detail)
{
    snprintf(d->error, sizeof d->error, "%s%s%.150s", text, detail ? ": " : "",
             detail ? detail : "");
    return false;
}

const char *disk_error(const struct disk *d)
{
    return d->error;
}

struct disk *disk_create(void)
{
    return calloc(1, sizeof(struct disk));
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->file_count; i++) {
        free(d->files[i]->data);
        free(d->files[i]->pending);
        free(d->files[i]);
    }
    free(d);
}

/* ---- content ---- */

/* Content that operations are applied to: durable, or an image's. */
struct content {
    uint8_t *data;
    size_t data_size;
    size_t capacity;
    size_t size;
};

static void reserve(struct content *c, size_t size)
{
    if (size <= c->capacity)
        return;
    size_t capacity = c->capacity ? c->capacity : 4096;
    while (capacity < size)
        capacity *= 2;
    uint8_t *grown = realloc(c->data, capacity);
    if (!grown)
        abort();
    c->data = grown;
    c->capacity = capacity;
}

static void set_size(struct content *c, size_t size)
{
    c->size = size;
    if (c->data_size > size)
        c->data_size = size;
}

/* Stores what lies within the size. */
static void store(struct content *c, size_t offset, const uint8_t *data, size_t size)
{
    if (offset >= c->size)
        return;
    if (size > c->size - offset)
        size = c->size - offset;
    reserve(c, offset + size);
    if (offset > c->data_size)
        memset(c->data + c->data_size, 0, offset - c->data_size);
    memcpy(c->data + offset, data, size);
    if (offset + size > c->data_size)
        c->data_size = offset + size;
}

static size_t size_after(const struct operation *o, size_t size)
{
    if (o->kind == OPERATION_RESIZE)
        return (size_t)o->offset;
    size_t end = (size_t)(o->offset + o->size);
    return end > size ? end : size;
}

static void apply(struct content *c, const struct operation *o)
{
    set_size(c, size_after(o, c->size));
    if (o->kind == OPERATION_WRITE)
        store(c, (size_t)o->offset, operation_data(o), (size_t)o->size);
}

static struct content take_content(const struct file *f)
{
    return (struct content){f->data, f->data_size, f->capacity, f->size};
}

static struct content copy_content(const struct file *f)
{
    struct content c = {.size = f->size};
    reserve(&c, f->data_size ? f->data_size : 1);
    if (f->data_size)
        memcpy(c.data, f->data, f->data_size);
    c.data_size = f->data_size;
    return c;
}

static struct file *find_file(const struct disk *d, uint64_t number)
{
    for (size_t i = d->file_count; i > 0; i--)
        if (d->files[i - 1]->number == number)
            return d->files[i - 1];
    return NULL;
}

static void add_pending(struct file *f, const struct operation *o)
{
    if (f->pending_count == f->pending_capacity) {
        size_t capacity = f->pending_capacity ? f->pending_capacity * 2 : 64;
        struct pending *grown = realloc(f->pending, capacity * sizeof *grown);
        if (!grown)
            abort();
        f->pending = grown;
        f->pending_capacity = capacity;
    }
    f->pending[f->pending_count++] = (struct pending){.operation = o};
}

static void settle(struct file *f)
{
    struct content c = take_content(f);
    for (size_t i = 0; i < f->pending_count; i++)
        apply(&c, f->pending[i].operation);
    f->data = c.data;
    f->data_size = c.data_size;
    f->capacity = c.capacity;
    f->size = c.size;
    f->pending_count = 0;
}

/* ---- names ---- */

/* Those of one folder are durable now. */
static void settle_names(struct disk *d, const char *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->pending_count; i++) {
        struct path_text path = names_first_path(d->pending[i].operation);
        if (strcmp(names_folder_of(path.text).text, folder) == 0)
            names_apply(&d->durable, d->pending[i].operation, d->pending[i].file);
        else
            d->pending[kept++] = d->pending[i];
    }
    d->pending_count = kept;
}

static bool begin_name(struct disk *d, const struct operation *o)
{
    struct file *file = NULL;
    if (d->pending_count == NAME_OPERATIONS_MAX)
        return set_error(d, "too many names are changed without a sync of their folder", NULL);
    if (o->kind == OPERATION_CREATE) {
        if (d->file_count == FILES_MAX)
            return set_error(d, "too many files are made", NULL);
        file = calloc(1, sizeof *file);
        if (!file)
            return set_error(d, "out of memory", NULL);
        file->number = o->file;
        d->files[d->file_count++] = file;
    }
    d->pending[d->pending_count].operation = o;
    d->pending[d->pending_count++].file = file;
    return true;
}

/* ---- operations ---- */

static bool begin_map(struct disk *d, const struct operation *o)
{
    struct path_text path = names_first_path(o);
    struct file *file = find_file(d, o->file);
    const char *slash = strrchr(path.text, '/');
    /* LMDB's lock file alone may be: it is made anew by the first process that opens it. */
    if (!file || strcmp(slash ? slash + 1 : path.text, "lock.mdb") != 0)
        return set_error(d, "written to through memory", path.text);
    file->is_mapped = true;
    return true;
}

bool disk_begin(struct disk *d, const struct operation *o)
{
    d->under_way = o;
    switch (o->kind) {
    case OPERATION_MAKE_FOLDER:
    case OPERATION_CREATE:
    case OPERATION_RENAME:
    case OPERATION_UNLINK:
        return begin_name(d, o);
    case OPERATION_MAP:
        return begin_map(d, o);
    case OPERATION_WRITE:
    case OPERATION_RESIZE:
    case OPERATION_SYNC: {
        struct file *file = find_file(d, o->file);
        if (!file)
            return set_error(d, "a file that nobody has made is written to", NULL);
        if (o->kind != OPERATION_SYNC)
            add_pending(file, o);
        return true;
    }
    case OPERATION_SYNC_FOLDER:
    case OPERATION_NOTE:
        return true;
    default:
        return set_error(d, "an unknown operation", NULL);
    }
}

void disk_finish(struct disk *d)
{
    const struct operation *o = d->under_way;
    struct file *file = find_file(d, o->file);
    d->under_way = NULL;
    if (o->kind == OPERATION_SYNC)
        settle(file);
    else if (o->kind == OPERATION_SYNC_FOLDER)
        settle_names(d, names_first_path(o).text);
    else if (o->kind == OPERATION_WRITE && (o->flags & OPERATION_SYNCED))
        file->pending[file->pending_count - 1].is_durable = true;
}

bool disk_is_settled(const struct disk *d)
{
    if (d->pending_count > 0)
        return false;
    for (size_t i = 0; i < d->file_count; i++)
        if (d->files[i]->pending_count > 0 || d->files[i]->is_mapped)
            return false;
    return true;
}

/* ---- what a power loss leaves ---- */

enum arrival {
    ARRIVES_NONE,
    ARRIVES_ALL,
    ARRIVES_SOME_WRITES,
    ARRIVES_SOME_SECTORS,
    ARRIVES_ALL_BUT_ONE,
    ARRIVES_ONLY_ONE,
    ARRIVES_FIRST, /* up to one that is torn */
    ARRIVES_LAST,  /* from one that is torn */
    ARRIVALS,
};

/* How the writes of one file arrive. */
struct chance {
    enum arrival arrival;
    size_t chosen;    /* one of them */
    size_t per_mille; /* of writes, or of sectors */
};

static struct chance draw_chance(struct sample *random, size_t count)
{
    static const size_t shares[] = {20, 100, 500, 900, 980};
    return (struct chance){
        .arrival = (enum arrival)sample_below(random, ARRIVALS),
        .chosen = sample_below(random, count),
        .per_mille = shares[sample_below(random, sizeof shares / sizeof shares[0])],
    };
}

/* Of 1000 sectors of the i-th write, how many arrive. */
static size_t sector_chance(const struct chance *c, struct sample *random, size_t i)
{
    enum { NONE = 0, HALF = 500, EACH = 1000 };
    switch (c->arrival) {
    case ARRIVES_ALL:
        return EACH;
    case ARRIVES_SOME_WRITES:
        return sample_below(random, 1000) < c->per_mille ? EACH : NONE;
    case ARRIVES_SOME_SECTORS:
        return c->per_mille;
    case ARRIVES_ALL_BUT_ONE:
        return i == c->chosen ? NONE : EACH;
    case ARRIVES_ONLY_ONE:
        return i == c->chosen ? EACH : NONE;
    case ARRIVES_FIRST:
        return i == c->chosen ? HALF : i < c->chosen ? EACH : NONE;
    case ARRIVES_LAST:
        return i == c->chosen ? HALF : i > c->chosen ? EACH : NONE;
    default:
        return NONE;
    }
}

static void store_sectors(struct content *c, const struct operation *o, struct sample *random,
                          size_t per_mille)
{
    const uint8_t *data = operation_data(o);
    size_t offset = (size_t)o->offset;
    for (size_t done = 0; done < o->size;) {
        size_t n = SECTOR_SIZE - (offset + done) % SECTOR_SIZE;
        if (n > o->size - done)
            n = (size_t)o->size - done;
        if (per_mille >= 1000 || sample_below(random, 1000) < per_mille)
            store(c, offset + done, data + done, n);
        done += n;
    }
}

/* The size after some of the operations, at least after those that are durable. */
static size_t draw_size(const struct file *f, struct sample *random)
{
    size_t size = f->size;
    size_t until = sample_below(random, f->pending_count + 1);
    for (size_t i = 0; i < f->pending_count; i++)
        if (i < until || f->pending[i].is_durable)
            size = size_after(f->pending[i].operation, size);
    return size;
}

static void fill_with_rubbish(struct content *c, size_t from, size_t to, struct sample *random)
{
    enum { PIECE = 4096 };
    uint8_t piece[PIECE];
    for (size_t at = from; at < to; at += PIECE) {
        sample_fill(random, piece, PIECE);
        store(c, at, piece, to - at < PIECE ? to - at : PIECE);
    }
}

static struct content draw_content(const struct file *f, struct sample *random)
{
    enum { RUBBISH_ONE_IN = 4, RUBBISH_MAX = 1 << 18 };
    struct content c = copy_content(f);
    size_t before = c.size;
    set_size(&c, draw_size(f, random));
    if (f->is_mapped && sample_below(random, 2) == 0)
        fill_with_rubbish(&c, 0, c.size, random);
    else if (c.size > before && sample_below(random, RUBBISH_ONE_IN) == 0)
        fill_with_rubbish(&c, before, c.size - before < RUBBISH_MAX ? c.size : before + RUBBISH_MAX,
                          random);
    struct chance chance = draw_chance(random, f->pending_count);
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct operation *o = f->pending[i].operation;
        size_t per_mille = f->pending[i].is_durable ? 1000 : sector_chance(&chance, random, i);
        if (o->kind == OPERATION_WRITE)
            store_sectors(&c, o, random, per_mille);
    }
    return c;
}

static void draw_names(const struct disk *d, struct sample *random, struct names *ret_names)
{
    /* A rule of file systems, not of POSIX: the names of a folder change in order. */
    char stopped[NAME_OPERATIONS_MAX][IMAGE_PATH_SIZE];
    size_t stopped_count = 0;
    *ret_names = d->durable;
    for (size_t i = 0; i < d->pending_count; i++) {
        struct path_text path = names_first_path(d->pending[i].operation);
        struct path_text folder = names_folder_of(path.text);
        bool arrives = true;
        for (size_t k = 0; k < stopped_count; k++)
            arrives = arrives && strcmp(stopped[k], folder.text) != 0;
        if (arrives && random && sample_below(random, 3) == 0) {
            memcpy(stopped[stopped_count++], folder.text, IMAGE_PATH_SIZE);
            arrives = false;
        }
        if (arrives)
            names_apply(ret_names, d->pending[i].operation, d->pending[i].file);
    }
}

/* Whether the folder that it is in is there. */
static bool has_folder(const struct image *image, const char *path)
{
    struct path_text folder = names_folder_of(path);
    if (!folder.text[0])
        return true;
    for (size_t i = 0; i < image->count; i++)
        if (image->entries[i].is_folder && strcmp(image->entries[i].path, folder.text) == 0)
            return true;
    return false;
}

static void draw_file(struct image_entry *entry, const struct file *f, struct sample *random)
{
    struct content c = random ? draw_content(f, random) : copy_content(f);
    for (size_t i = 0; !random && i < f->pending_count; i++)
        apply(&c, f->pending[i].operation);
    entry->is_mapped = f->is_mapped;
    entry->data = c.data;
    entry->data_size = c.data_size;
    entry->size = c.size;
}

/* Folders first. A name may be durable while the folder that it is in is not: it is lost with it. */
static void draw(const struct disk *d, struct sample *random, struct image *ret_image)
{
    struct names names;
    *ret_image = (struct image){0};
    draw_names(d, random, &names);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < names.count; i++) {
            const struct name *name = &names.entries[i];
            bool is_folder = !name->file;
            if (is_folder != (pass == 0) || !has_folder(ret_image, name->path))
                continue;
            struct image_entry *entry = &ret_image->entries[ret_image->count++];
            memcpy(entry->path, name->path, sizeof entry->path);
            entry->is_folder = is_folder;
            if (name->file)
                draw_file(entry, name->file, random);
        }
}

void disk_draw(const struct disk *d, struct sample *random, struct image *ret_image)
{
    draw(d, random, ret_image);
}

void disk_draw_all(const struct disk *d, struct image *ret_image)
{
    draw(d, NULL, ret_image);
}
