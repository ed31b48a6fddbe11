--TEST--
Two kinds of lock: on a cache's key at once, and named, whose grace is an exception that says its end
--FILE--
<?php
require __DIR__ . '/store.inc';
// The directory was made a moment ago: what was there before, and which locks, nobody knows.
$store = local_store(['lock_lease' => 60]);
$cache = $store->cache('c');
$quick = local_store(['lock_lease' => 1]);
$grace = outcome(fn() => $store->acquireLock('n', 'me', 5));
show([
    'on a key, in a new place' => fn() => $cache->acquireLock('k', 'me', 0) && $cache->set('k', 1),
    'named, in a new place' => fn() => preg_replace('/\d+\.\d s/', 'N s', $grace),
    'named, waiting longer' => fn() => $quick->acquireLock('n', 'me', 30),
    'by another owner' => fn() => $quick->acquireLock('n', 'you', 0),
    'mine' => fn() => $quick->lockState('n', 'me'),
    'not yours' => fn() => $quick->lockState('n', 'you'),
    'nobody has it' => fn() => $quick->lockState('other', 'me'),
    'a key of that name is another lock' => fn() => $quick->cache('n')->acquireLock('n', 'you', 0),
    'any bytes' => fn() => $quick->acquireLock("a\0b\xff", "\xfe", 0) && $quick->releaseLock("a\0b\xff", "\xfe"),
    'too long' => fn() => $quick->acquireLock(str_repeat('n', 70000), 'me', 0),
    'released by another' => fn() => $quick->releaseLock('n', 'you'),
    'released' => fn() => $quick->releaseLock('n', 'me'),
    'released again' => fn() => $quick->releaseLock('n', 'me'),
]);
echo get_parent_class(Larder\GraceException::class), "\n";
$quick->cache('n')->releaseLock('n', 'you');
$cache->releaseLock('k', 'me');
?>
--EXPECT--
on a key, in a new place: true
named, in a new place: "Larder\\GraceException: locks may have been lost: nobody new gets this one for another N s, since its holder may not know yet"
named, waiting longer: true
by another owner: false
mine: true
not yours: false
nobody has it: null
a key of that name is another lock: true
any bytes: true
too long: Larder\ValueException: a key must have at most 65536 bytes; 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…' has 70000
released by another: false
released: true
released again: false
Larder\Exception
