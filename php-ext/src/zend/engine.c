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

/* Whether memory_limit was passed and the engine is yet to say so, which it does when the running function has returned. Older
 * engines end the function at once. */
bool larder_limit_is_passed(void)
{
#ifdef ZEND_HAS_OOM
	return EG(delayed_oom).state == ZEND_OOM_STATE_PENDING;
#else
	return false;
#endif
}

/* Whether a block of this size may be had. If not, the engine reports its error, now or later. */
bool larder_limit_allows(size_t size)
{
#ifdef ZEND_HAS_OOM
	void *block = larder_limit_is_passed() ? NULL : femalloc(size, true);
	if (block) {
		efree(block);
	}
	return block && !larder_limit_is_passed();
#else
	efree(emalloc(size));
	return true;
#endif
}

/* memory_limit in bytes; the largest number for none. */
size_t larder_limit(void)
{
	return PG(memory_limit) < 0 ? SIZE_MAX : (size_t) PG(memory_limit);
}
