/* Put before the C library (LD_PRELOAD): names of these tests are looked up as slowly as a dead resolver answers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int asked_later, asked_gone;

static int begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && begins(node, "slow.")) { /* always slow */
        sleep(60);
        node = "127.0.0.1";
    } else if (node && begins(node, "late.")) { /* always too slow, but not for ever */
        sleep(1);
        node = "127.0.0.1";
    } else if (node && begins(node, "later.")) { /* slow from the second time on */
        if (__sync_fetch_and_add(&asked_later, 1) > 0) sleep(60);
        node = "127.0.0.1";
    } else if (node && begins(node, "gone.")) { /* unknown from the second time on */
        if (__sync_fetch_and_add(&asked_gone, 1) > 0) return EAI_NONAME;
        node = "127.0.0.1";
    } else if (node && begins(node, "many.")) { /* three addresses */
        int error = real("127.0.0.1", service, hints, result);
        struct addrinfo *last = *result;
        if (!error) error = real("127.0.0.1", service, hints, &last->ai_next);
        if (!error) error = real("127.0.0.3", service, hints, &last->ai_next->ai_next);
        return error;
    }
    return real(node, service, hints, result);
}
