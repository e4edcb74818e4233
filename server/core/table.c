/* table.c - adding, growing, removing. */
#include "server/core/table.h"

#include "protocol/errors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_CAPACITY_MIN = 16 };

static void place(struct table *t, uint64_t hash, void *item)
{
    size_t mask = t->capacity - 1;
    size_t i = hash & mask;
    while (t->slots[i].item)
        i = (i + 1) & mask;
    t->slots[i] = (struct table_slot){hash, item};
}

static int resize(struct table *t, size_t capacity)
{
    struct table_slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    struct table grown = {slots, capacity, t->count};
    for (size_t i = 0; i < t->capacity; i++) {
        if (t->slots[i].item)
            place(&grown, t->slots[i].hash, t->slots[i].item);
    }
    free(t->slots);
    *t = grown;
    return ERR_OK;
}

static size_t capacity_for(size_t expected)
{
    size_t capacity = TABLE_CAPACITY_MIN;
    while (capacity / 4 * 3 < expected)
        capacity *= 2;
    return capacity;
}

int table_init(struct table *t, size_t expected)
{
    *t = (struct table){0};
    return resize(t, capacity_for(expected));
}

int table_reset(struct table *t, size_t expected)
{
    size_t capacity = capacity_for(expected);
    if (t->capacity < capacity || t->capacity > 4 * capacity) {
        table_free(t);
        return resize(t, capacity);
    }
    memset(t->slots, 0, t->capacity * sizeof *t->slots);
    t->count = 0;
    return ERR_OK;
}

void table_free(struct table *t)
{
    free(t->slots);
    *t = (struct table){0};
}

int table_add(struct table *t, uint64_t hash, void *item)
{
    if (t->count >= t->capacity / 4 * 3) {
        int err = resize(t, t->capacity ? t->capacity * 2 : TABLE_CAPACITY_MIN);
        if (err)
            return err;
    }
    place(t, hash, item);
    t->count++;
    return ERR_OK;
}

void table_remove(struct table *t, uint64_t hash, const void *item)
{
    size_t mask = t->capacity - 1;
    size_t hole = hash & mask;
    while (t->slots[hole].item != item) {
        assert(t->slots[hole].item);
        hole = (hole + 1) & mask;
    }
    /* What follows moves back, unless that would put it before its home. */
    for (size_t i = (hole + 1) & mask; t->slots[i].item; i = (i + 1) & mask) {
        size_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct table_slot){0, NULL};
    t->count--;
}
