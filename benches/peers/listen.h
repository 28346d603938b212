/* A listener, and threads that connections are dealt to: what libuv's and libevent's echo
 * servers have in common. */
#ifndef LISTEN_H
#define LISTEN_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes of a read buffer. */
enum { BUFFER = 64 * 1024 };

static void must(int is_true, const char *what) {
    if (is_true) return;
    perror(what);
    exit(1);
}

static void set(int fd, int level, int option) {
    int one = 1;
    must(setsockopt(fd, level, option, &one, sizeof one) == 0, "setsockopt");
}

/* A blocking listener on IPv4. */
static int listen_on(const char *ip, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    must(inet_pton(AF_INET, ip, &address.sin_addr) == 1, "address");
    set(fd, SOL_SOCKET, SO_REUSEADDR);
    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fd, 4096) == 0, "listen");
    return fd;
}

/* The next connection, non-blocking. */
static int accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) set(fd, IPPROTO_TCP, TCP_NODELAY);
    return fd;
}

/* With one thread, `serve` has the listener in its own loop (source[1] is 0). With more, the
 * loop of each has the end of a pipe, through which this thread deals connections in turn. */
static int run(int argc, char **argv, void *(*serve)(void *source)) {
    if (argc < 3) {
        fprintf(stderr, "usage: IP PORT [THREADS]\n");
        return 2;
    }
    int threads = argc > 3 ? atoi(argv[3]) : 1, listener = listen_on(argv[1], argv[2]);
    signal(SIGPIPE, SIG_IGN);
    if (threads <= 1) return serve((int[]){listener, 0}) != NULL;
    int(*pipes)[2] = calloc(threads, sizeof *pipes), (*ends)[2] = calloc(threads, sizeof *ends);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        must(pipe2(pipes[i], O_CLOEXEC) == 0, "pipe2");
        ends[i][0] = pipes[i][0], ends[i][1] = 1;
        must(pthread_create(&thread, NULL, serve, ends[i]) == 0, "pthread_create");
    }
    for (int turn = 0;; turn = (turn + 1) % threads) {
        int fd = accept_one(listener);
        must(fd >= 0, "accept4");
        must(write(pipes[turn][1], &fd, sizeof fd) == sizeof fd, "write");
    }
}

/* The next connection of a readable source, or -1. */
static int take(const int *source) {
    int fd = -1;
    if (!source[1]) return accept_one(source[0]);
    must(read(source[0], &fd, sizeof fd) == sizeof fd, "read");
    return fd;
}

#endif
