/* libuv: a loop per thread, and a read buffer per loop. */
#include "../listen.h"
#include <uv.h>

struct connection {
    uv_tcp_t stream;
    uv_write_t request;
    char *unsent;
};

static void on_close(uv_handle_t *handle) { free(handle->data); }

static void end(struct connection *this) { uv_close((uv_handle_t *)&this->stream, on_close); }

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    (void)size;
    *buffer = uv_buf_init(handle->loop->data, BUFFER);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void on_written(uv_write_t *request, int status) {
    struct connection *this = request->data;
    free(this->unsent);
    if (status == 0)
        uv_read_start((uv_stream_t *)&this->stream, on_alloc, on_read);
    else if (status != UV_ECANCELED)
        end(this);
}

/* Keeps what the kernel would not take, and reads no more until the kernel has taken it. */
static void keep(struct connection *this, const char *bytes, size_t count) {
    this->unsent = malloc(count);
    memcpy(this->unsent, bytes, count);
    this->request.data = this;
    uv_buf_t rest = uv_buf_init(this->unsent, count);
    uv_read_stop((uv_stream_t *)&this->stream);
    must(uv_write(&this->request, (uv_stream_t *)&this->stream, &rest, 1, on_written) == 0, "uv_write");
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct connection *this = stream->data;
    if (count == 0) return;
    if (count < 0) {
        end(this);
        return;
    }
    uv_buf_t reply = uv_buf_init(buffer->base, count);
    int sent = uv_try_write(stream, &reply, 1);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0)
        end(this);
    else if (sent < count)
        keep(this, buffer->base + sent, count - sent);
}

static void on_source(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    int fd = take(poll->data);
    if (fd < 0) return;
    struct connection *this = malloc(sizeof *this);
    uv_tcp_init(poll->loop, &this->stream);
    this->stream.data = this;
    must(uv_tcp_open(&this->stream, fd) == 0, "uv_tcp_open");
    uv_read_start((uv_stream_t *)&this->stream, on_alloc, on_read);
}

static void *serve(void *source) {
    uv_loop_t loop;
    uv_poll_t poll;
    must(uv_loop_init(&loop) == 0, "uv_loop_init");
    loop.data = malloc(BUFFER);
    must(uv_poll_init(&loop, &poll, *(int *)source) == 0, "uv_poll_init");
    poll.data = source;
    uv_poll_start(&poll, UV_READABLE, on_source);
    uv_run(&loop, UV_RUN_DEFAULT);
    return source;
}

int main(int argc, char **argv) { return run(argc, argv, serve); }
