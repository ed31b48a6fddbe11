/* What only PHP's headers know: where its macros find things. */

#include <php.h>
#include <ext/standard/basic_functions.h>

#define SWAP(type, a, b) do { type held = (a); (a) = (b); (b) = held; } while (0)

/* What `serialize()` and `unserialize()` share with the calls of them around. */
struct larder_serializing {
	void *written;
	void *read;
	unsigned writers;
	unsigned readers;
	unsigned locks;
};

/* Exchanges the engine's for another. */
void larder_swap_serializing(struct larder_serializing *other)
{
	SWAP(void *, BG(serialize).data, other->written);
	SWAP(void *, BG(unserialize).data, other->read);
	SWAP(unsigned, BG(serialize).level, other->writers);
	SWAP(unsigned, BG(unserialize).level, other->readers);
	SWAP(unsigned, BG(serialize_lock), other->locks);
}
