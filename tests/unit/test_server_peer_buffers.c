/* What is received lies still until its batch is done with; what is sent goes out once, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/net/peer_inbox.h"
#include "server/net/peer_outbox.h"

enum { PIECES = 3, STEPS = 20000, FRAME_MAX = 40000 };

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

/* ---- the outbox ---- */

static uint8_t byte_at(uint64_t place)
{
    return (uint8_t)(place * 31 + (place >> 8));
}

static size_t draw_size(void)
{
    return draw(10) == 0 ? draw(FRAME_MAX) : draw(200);
}

static void add_frame(struct peer_outbox *o, uint64_t *added)
{
    static uint8_t frame[FRAME_MAX + 9];
    size_t size = draw_size();
    size_t header = 2 + draw(8);
    size_t gone = draw(4) == 0 ? draw((uint32_t)(size + header)) : 0;
    for (size_t i = gone; i < header + size; i++)
        frame[i] = byte_at(*added + i - gone);
    assert_true(peer_outbox_add(o, (struct bytes){frame, header},
                                (struct bytes){frame + header, size}, gone, 1));
    *added += header + size - gone;
}

static void send_some(struct peer_outbox *o, uint64_t *sent)
{
    struct iovec pieces[PIECES];
    size_t count = peer_outbox_pieces(o, pieces, PIECES);
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *data = pieces[i].iov_base;
        for (size_t k = 0; k < pieces[i].iov_len; k++)
            assert_int_equal(data[k], byte_at(*sent + all + k));
        all += pieces[i].iov_len;
    }
    size_t goes = draw(3) == 0 ? all : draw((uint32_t)all + 1);
    peer_outbox_sent(o, goes);
    *sent += goes;
}

static void replies_go_out_once_and_in_order(void **state)
{
    (void)state;
    struct peer_outbox o = {0};
    uint64_t added = 0;
    uint64_t sent = 0;
    for (int i = 0; i < STEPS; i++) {
        if (draw(2) == 0 && o.bytes < 4 * FRAME_MAX)
            add_frame(&o, &added);
        else
            send_some(&o, &sent);
        assert_int_equal(o.bytes, added - sent);
        assert_true(o.bytes > 0 || (!o.first && o.messages == 0));
    }
    peer_outbox_free(&o);
    assert_null(o.first);
    assert_int_equal(o.bytes, 0);
    assert_int_equal(o.messages, 0);
}

/* ---- the inbox ---- */

/* Puts `size` bytes where they go, `step` at a time; returns what can be read at the end. */
static struct bytes receive(struct peer_inbox *in, struct inbox_block **rest, uint8_t fill,
                            size_t size, size_t step, size_t *ret_most)
{
    struct bytes got = {NULL, 0};
    for (size_t done = 0; done < size;) {
        struct inbox_place place;
        assert_true(peer_inbox_place(in, rest, &place));
        assert_true(place.room > 0);
        size_t here = size - done < step ? size - done : step;
        here = here < place.room ? here : place.room;
        memset(place.data + place.have, fill, here);
        done += here;
        got = peer_inbox_take(in, rest, &place, here);
        if (place.have + place.room > *ret_most)
            *ret_most = place.have + place.room;
    }
    return got;
}

static void expect_filled(struct bytes data, size_t size, uint8_t fill)
{
    assert_int_equal(data.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data.data[i], fill);
}

static void a_small_rest_comes_before_what_follows(void **state)
{
    (void)state;
    struct peer_inbox in = {0};
    struct inbox_block *rest = NULL;
    size_t most = 0;
    struct bytes first = receive(&in, &rest, 'a', 100, 100, &most);
    assert_true(peer_inbox_keep(&rest, (struct bytes){first.data + 60, 40}, 90));
    expect_filled(first, 100, 'a');
    struct bytes second = receive(&in, &rest, 'b', 50, 50, &most);
    assert_null(rest);
    expect_filled((struct bytes){second.data, 40}, 40, 'a');
    expect_filled((struct bytes){second.data + 40, second.size - 40}, 50, 'b');
    expect_filled(first, 100, 'a'); /* still where it was */
    peer_inbox_release(&in);
    assert_int_equal(in.bytes, 0);
    peer_inbox_free(&in);
}

/* Of a frame that claims to be large, no more is held than twice what has come. */
static void a_large_rest_grows_with_what_comes(void **state)
{
    (void)state;
    enum { LARGE = 1000000 };
    struct peer_inbox in = {0};
    struct inbox_block *rest = NULL;
    size_t most = 0;
    struct bytes first = receive(&in, &rest, 'a', 10, 10, &most);
    assert_true(peer_inbox_keep(&rest, first, LARGE));
    peer_inbox_release(&in);
    most = 0;
    assert_null(receive(&in, &rest, 'a', LARGE / 4 - 10, 5000, &most).data);
    assert_non_null(rest);
    assert_true(most <= LARGE / 2);
    struct bytes whole = receive(&in, &rest, 'a', LARGE - LARGE / 4, 70000, &most);
    assert_null(rest);
    expect_filled(whole, LARGE, 'a');
    peer_inbox_free(&in);
}

static void what_does_not_fit_goes_into_another_block(void **state)
{
    (void)state;
    struct peer_inbox in = {0};
    struct bytes all[64];
    for (unsigned i = 0; i < 64; i++) {
        struct inbox_block *rest = NULL;
        size_t most = 0;
        all[i] = receive(&in, &rest, (uint8_t)i, 9000, 9000, &most);
    }
    for (unsigned i = 0; i < 64; i++)
        expect_filled(all[i], 9000, (uint8_t)i);
    assert_true(in.bytes >= 64 * 9000);
    struct inbox_block *rest =
        NULL; /* as much as there can be, and not one byte of room behind it */
    static uint8_t full[INBOX_BLOCK];
    struct inbox_place place;
    assert_true(peer_inbox_keep(&rest, (struct bytes){full, sizeof full}, 0));
    assert_true(peer_inbox_place(&in, &rest, &place));
    assert_int_equal(place.have, INBOX_BLOCK);
    assert_int_equal(place.room, 0);
    assert_int_equal(peer_inbox_take(&in, &rest, &place, 0).size, INBOX_BLOCK);
    peer_inbox_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_go_out_once_and_in_order),
        cmocka_unit_test(a_small_rest_comes_before_what_follows),
        cmocka_unit_test(a_large_rest_grows_with_what_comes),
        cmocka_unit_test(what_does_not_fit_goes_into_another_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
