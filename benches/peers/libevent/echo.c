/* libevent: a base per thread, a bufferevent per connection, whose input is moved to its output.
 * As of 2.1 it reads at most 4 KiB at a time, whatever the settings. */
#include "../listen.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

/* Unsent bytes above which a connection is not read from. */
enum { MOST = 1024 * 1024 };

static void on_read(struct bufferevent *this, void *unused) {
    (void)unused;
    struct evbuffer *output = bufferevent_get_output(this);
    evbuffer_add_buffer(output, bufferevent_get_input(this));
    if (evbuffer_get_length(output) > MOST) bufferevent_disable(this, EV_READ);
}

/* Called when all is written. */
static void on_written(struct bufferevent *this, void *unused) {
    (void)unused;
    bufferevent_enable(this, EV_READ);
}

static void on_last_written(struct bufferevent *this, void *unused) {
    (void)unused;
    bufferevent_free(this);
}

/* After the end of its stream a peer still gets all replies. */
static void on_event(struct bufferevent *this, short what, void *unused) {
    (void)unused;
    if ((what & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(this)) > 0)
        bufferevent_setcb(this, NULL, on_last_written, on_event, NULL);
    else
        bufferevent_free(this);
}

static void on_source(evutil_socket_t ready, short what, void *argument) {
    (void)ready, (void)what;
    void **given = argument;
    int fd = take(given[1]);
    if (fd < 0) return;
    struct bufferevent *this = bufferevent_socket_new(given[0], fd, BEV_OPT_CLOSE_ON_FREE);
    must(this != NULL, "bufferevent_socket_new");
    bufferevent_set_max_single_read(this, BUFFER);
    bufferevent_set_max_single_write(this, BUFFER);
    bufferevent_setcb(this, on_read, on_written, on_event, NULL);
    bufferevent_enable(this, EV_READ | EV_WRITE);
}

static void *serve(void *source) {
    struct event_base *base = event_base_new();
    void *given[] = {base, source};
    struct event *event = event_new(base, *(int *)source, EV_READ | EV_PERSIST, on_source, given);
    must(event != NULL && event_add(event, NULL) == 0, "event_new");
    event_base_dispatch(base);
    return source;
}

int main(int argc, char **argv) { return run(argc, argv, serve); }
