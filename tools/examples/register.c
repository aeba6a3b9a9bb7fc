/*
 * A device that registers with Rollcall: one CBOR map in one CoAP POST, then an update now and then. No library, no
 * malloc, every buffer bounded. It speaks plain CoAP (rollcall serve --insecure-coap); for DTLS hand the same bytes to
 * your DTLS stack and leave the name out: the key says it. Change describe() and what is marked PORT.
 *
 *   cc -std=c99 -Wall -Wextra -Werror -o register register.c
 *   ./register HOST PORT NAME [LIFETIME [UPDATES]]    after that many updates it takes its leave
 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CON = 0, ACK = 2, RST = 3 };                                   /* message types, RFC 7252 section 3 */
enum { POST = 0x02, DELETE = 0x04, CREATED = 0x41, DELETED = 0x42, CHANGED = 0x44, UNAVAILABLE = 0xa3 };
enum { LOCATION_PATH = 8, URI_PATH = 11, CONTENT_FORMAT = 12, MAX_AGE = 14 };
enum { UINT = 0, TEXT = 3, ARRAY = 4, MAP = 5 };                      /* CBOR major types, RFC 8949 section 3.1 */
enum { TOKEN = 4, SEGMENTS = 2, SEGMENT = 17 };                       /* a location is /rd/{at most 16 characters} */

struct message { uint8_t bytes[256]; size_t used; int full; unsigned option; };
struct response { unsigned type, code, id, segments, max_age; const uint8_t *token; char location[SEGMENTS][SEGMENT]; };

static void put(struct message *m, const void *bytes, size_t length)
{
    if (length > sizeof m->bytes - m->used) { m->full = 1; return; }
    memcpy(m->bytes + m->used, bytes, length);
    m->used += length;
}

static void put_byte(struct message *m, unsigned byte) { uint8_t b = (uint8_t)byte; put(m, &b, 1); }

/* The head of a CBOR item: its type, and its value or length in as few bytes as hold it. */
static void head(struct message *m, unsigned major, uint32_t value)
{
    unsigned size = value < 24 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
    put_byte(m, major << 5 | (size == 0 ? value : size == 1 ? 24 : size == 2 ? 25 : 26));
    while (size-- > 0) put_byte(m, (value >> 8 * size) & 0xff);
}

static void text(struct message *m, const char *s) { head(m, TEXT, (uint32_t)strlen(s)); put(m, s, strlen(s)); }

/* What this device is: schemas/registration.cddl has all that can be said. Count the entries in the first line. */
static void describe(struct message *m, const char *name, uint32_t lifetime)
{
    head(m, MAP, 5);
    head(m, UINT, 0); head(m, UINT, 1);                               /* v: version 1 of this map */
    head(m, UINT, 1); text(m, name);                                  /* ep: over DTLS leave it out */
    head(m, UINT, 2); head(m, UINT, lifetime);                        /* lt: in seconds; leave it out for a day */
    head(m, UINT, 6); head(m, MAP, 2);                                /* meta: manufacturer and firmware */
    head(m, UINT, 0); text(m, "ACME"); head(m, UINT, 3); text(m, "1.0.3");
    head(m, UINT, 8); head(m, ARRAY, 3); head(m, UINT, 1); head(m, UINT, 3); head(m, UINT, 3303);  /* obj */
}

/* PORT: random numbers from hardware. A message ID or token that is used again too soon gets an old answer. */
static unsigned random_below(unsigned bound) { return (unsigned)rand() % bound; }
/* PORT: milliseconds of a clock that never goes back. */
static long now(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? t.tv_sec * 1000L + t.tv_nsec / 1000000L : 0;
}

static void begin(struct message *m, unsigned code)
{
    static unsigned id;
    id = id == 0 ? random_below(0x10000) : (id + 1) & 0xffff;
    memset(m, 0, sizeof *m);
    put_byte(m, 1u << 6 | CON << 4 | TOKEN); put_byte(m, code); put_byte(m, id >> 8); put_byte(m, id & 0xff);
    for (int i = 0; i < TOKEN; i++) put_byte(m, random_below(0x100));
}

/* In order of their numbers; values of at most 268 bytes, numbers at most 268 apart: no more is needed here. */
static void option(struct message *m, unsigned number, const void *value, size_t length)
{
    unsigned delta = number - m->option;
    put_byte(m, (delta < 13 ? delta : 13) << 4 | (length < 13 ? (unsigned)length : 13));
    if (delta >= 13) put_byte(m, delta - 13);
    if (length >= 13) put_byte(m, (unsigned)length - 13);
    put(m, value, length);
    m->option = number;
}

static int extended(const uint8_t *b, size_t n, size_t *at, uint32_t *value)
{
    size_t more = *value == 13 ? 1 : *value == 14 ? 2 : 0;
    if (*value == 15 || more > n - *at) return -1;
    if (more > 0) *value = more == 1 ? 13u + b[*at] : 269u + (uint32_t)(b[*at] << 8 | b[*at + 1]);
    *at += more;
    return 0;
}

/* Whatever the network sends: nothing is read beyond its end, nothing written beyond the location's bounds. */
static int parse(const uint8_t *b, size_t n, struct response *r)
{
    memset(r, 0, sizeof *r);
    if (n < 4 || b[0] >> 6 != 1) return -1;
    r->type = b[0] >> 4 & 3; r->code = b[1]; r->id = (unsigned)b[2] << 8 | b[3]; r->max_age = 60;
    if (r->code == 0) return 0;                                       /* empty: an ACK or RST alone */
    if ((b[0] & 15) != TOKEN || n < 4 + TOKEN) return -1;
    r->token = b + 4;
    size_t at = 4 + TOKEN;
    for (uint32_t number = 0; at < n && b[at] != 0xff;) {
        uint32_t delta = b[at] >> 4, length = b[at++] & 15;
        if (extended(b, n, &at, &delta) || extended(b, n, &at, &length) || length > n - at) return -1;
        number += delta;
        if (number == LOCATION_PATH) {
            if (r->segments == SEGMENTS || length >= SEGMENT) return -1;
            memcpy(r->location[r->segments++], b + at, length);
        }
        if (number == MAX_AGE) r->max_age = 0;
        for (size_t end = at + length; at < end; at++)
            if (number == MAX_AGE) r->max_age = r->max_age << 8 | b[at];
    }
    return 0;
}

/* Sends until it is answered: again after 2 to 3 s, then after twice as long, 5 times in all (RFC 7252 section 4.2). */
static int exchange(int fd, const struct message *request, struct response *r)
{
    static uint8_t in[256];
    const uint8_t *sent = request->bytes;
    long timeout = 2000 + (long)random_below(1000);
    if (request->full) { fprintf(stderr, "the message is larger than its buffer\n"); return -1; }
    for (int attempt = 0; attempt < 5; attempt++, timeout *= 2) {
        ssize_t n = send(fd, sent, request->used, 0);                 /* PORT: or your DTLS stack */
        printf("sent %u bytes%s\n", (unsigned)request->used, attempt == 0 ? "" : " again");
        for (long end = now() + timeout, left; (left = end - now()) > 0;) {
            struct pollfd ready = { fd, POLLIN, 0 };
            if (poll(&ready, 1, (int)left) <= 0) break;
            if ((n = recv(fd, in, sizeof in, 0)) < 0) { poll(NULL, 0, 200); continue; }
            if (parse(in, (size_t)n, r) != 0) continue;
            int ours = r->id == ((unsigned)sent[2] << 8 | sent[3]);
            if (r->type == RST && ours) return -1;
            if (r->type == ACK && r->code == 0 && ours) { end = now() + 60000; attempt = 4; }  /* the answer follows */
            if (r->code == 0 || memcmp(r->token, sent + 4, TOKEN) != 0) continue;
            uint8_t ack[4] = { 1u << 6 | ACK << 4, 0, in[2], in[3] };
            if (r->type == CON && send(fd, ack, sizeof ack, 0) < 0) continue;
            printf("heard %u.%02u in %u bytes\n", r->code >> 5, r->code & 31, (unsigned)n);
            return 0;
        }
    }
    return -1;
}

static int request(int fd, unsigned code, char location[][SEGMENT], struct response *r)
{
    struct message m;
    begin(&m, code);
    for (int i = 0; i < SEGMENTS; i++) option(&m, URI_PATH, location[i], strlen(location[i]));
    return exchange(fd, &m, r);
}

/* Later and lost are tried again, slower each time; a refusal is not: docs/answers.md says what it means. */
static int enrol(int fd, const char *name, uint32_t lifetime, char location[][SEGMENT])
{
    struct response r;
    for (unsigned wait = 1;; wait = wait < 512 ? 2 * wait : wait) {
        struct message m;
        begin(&m, POST); option(&m, URI_PATH, "rd", 2);
        option(&m, CONTENT_FORMAT, "\x3c", 1);                          /* 60: CBOR */
        put_byte(&m, 0xff); describe(&m, name, lifetime);
        int lost = exchange(fd, &m, &r);
        if (!lost && r.code == CREATED && r.segments == SEGMENTS) break;
        if (m.full || (!lost && r.code != UNAVAILABLE)) return -1;
        unsigned later = !lost && r.max_age > wait ? r.max_age : wait;
        sleep(later + random_below(later + 1));                       /* PORT: sleep deep; all others woke up too */
    }
    memcpy(location, r.location, sizeof r.location);
    printf("registered at /%s/%s\n", location[0], location[1]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) { fprintf(stderr, "usage: register HOST PORT NAME [LIFETIME [UPDATES]]\n"); return 2; }
    uint32_t lifetime = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 3600;
    long updates = argc > 5 ? strtol(argv[5], NULL, 10) : -1;
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found;
    if (getaddrinfo(argv[1], argv[2], &hints, &found) != 0) { fprintf(stderr, "no such host\n"); return 1; }
    int fd = socket(found->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) { perror("register"); return 1; }
    freeaddrinfo(found);
    setvbuf(stdout, NULL, _IOLBF, 0);
    srand((unsigned)time(NULL) ^ (unsigned)getpid() << 16);
    char location[SEGMENTS][SEGMENT] = { "", "" };
    struct response r;
    if (enrol(fd, argv[3], lifetime, location) != 0) { fprintf(stderr, "refused\n"); return 1; }
    for (; updates != 0; updates -= updates > 0) {
        sleep(lifetime - lifetime / 4);                               /* early enough to try again */
        if (request(fd, POST, location, &r) == 0 && r.code == CHANGED) continue;
        if (enrol(fd, argv[3], lifetime, location) != 0) return 1;   /* 4.04, or no answer: register anew */
    }
    return request(fd, DELETE, location, &r) == 0 && r.code == DELETED ? 0 : 1;
}
