--TEST--
Every method of a cache, with keys and arguments at their edges
--FILE--
<?php
declare(strict_types=1);
require __DIR__ . '/store.inc';
foreach ([true, false] as $near) {
    echo $near ? "near\n" : "not near\n";
    $store = local_store(['namespace' => $near ? 'near' : 'far']);
    $cache = $store->cache('c', ['near' => $near]);
    $cache->set('a', 0);
    show([
        'get' => fn() => [$cache->get('a'), $cache->get('b'), $cache->get('b', 'default'), $cache->get(default: 1, key: 'b')],
        'set' => fn() => [$cache->set('b', [1, null]), $cache->get('b'), $cache->set('n', null), $cache->get('n', 1), $cache->has('n')],
        'has' => fn() => [$cache->has('b'), $cache->has('x'), $cache->hasAny(['x', 'b']), $cache->hasAny(['x']), $cache->hasAny([]),
            $cache->hasAll(['a', 'b']), $cache->hasAll(['a', 'x']), $cache->hasAll([])],
        'delete' => fn() => [$cache->delete('b'), $cache->delete('b'), $cache->has('b')],
        'many' => fn() => [$cache->setMany(['x' => 1, 'y' => [2], 7 => 'seven', '' => 'empty', '08' => 8]),
            $cache->getMany(['q' => 'x', 'y', 7, '7', '', '08', 'no', 'x'])],
        'deleteMany' => fn() => [$cache->deleteMany(['x', 'x', 'no', 7]), $cache->getMany(['x', 'y', 7]), $cache->deleteMany([])],
        'nothing' => fn() => [$cache->getMany([]), $cache->setMany([])],
        'keys' => function () use ($cache) {
            $sorted = function ($keys) {
                sort($keys, SORT_STRING);
                return $keys;
            };
            return [$sorted($cache->keys()), $cache->keys('0'), $cache->keys('no'), count($cache->keys(null)), count($cache->keys(prefix: ''))];
        },
        'purge' => fn() => [$cache->purge(), $cache->keys(), $cache->has('a'), $cache->purge()],
    ]);
    // PHP makes integers of numeric array keys; the entry is the same.
    foreach ([0, -1, 42, PHP_INT_MAX, PHP_INT_MIN] as $number) {
        $cache->set($number, "number $number");
        same("text of $number", "number $number", $cache->get((string)$number));
        same("many of $number", [$number => "number $number"], $cache->getMany([(string)$number]));
        $cache->setMany([$number => 'again']);
        same("again $number", 'again', $cache->get((string)$number));
    }
    // Whatever is no such integer stays a text.
    $texts = ['007', '-0', '+1', ' 1', '1 ', '1.0', '1e3', '9223372036854775808', '-9223372036854775809', "1\0"];
    foreach ($texts as $at => $text) {
        $cache->set($text, $at);
    }
    same('texts', array_flip($texts), $cache->getMany($texts));
    // Keys are bytes.
    $binary = ["k", "k\0", "k\0a", "k\0b", "\0", "\0\0", "\xff\xfe", "\xc3\x28", "é", "e\u{301}", "K", " k", "k ", str_repeat("\xff", 600),
        str_repeat('x', 511), str_repeat('x', 512), str_repeat('x', 65535), str_repeat('x', 65536), str_repeat('x', 65535) . 'y'];
    $cache->purge();
    same('set binary', count($binary), $cache->setMany(array_flip($binary)));
    same('get binary', array_flip($binary), $cache->getMany($binary));
    foreach ($binary as $at => $key) {
        same("binary $at", $at, $cache->get($key));
    }
    $listed = $cache->keys();
    sort($listed, SORT_STRING);
    sort($binary, SORT_STRING);
    same('keys binary', $binary, $listed);
    same('prefix with NUL', 3, count($cache->keys("k\0")));
    foreach ($binary as $at => $key) {
        same("delete $at", [true, false], [$cache->delete($key), $cache->has($key)]);
    }
    same('none left', [], $cache->keys());
    // References among the arguments are followed, and nothing of them is kept.
    $key = 'a';
    $value = [1];
    $keys = [&$key];
    $items = ['a' => &$value];
    $cache->setMany($items);
    same('reference', ['a' => [1]], $cache->getMany($keys));
    $value[] = 2;
    $key = 'b';
    same('not kept', [[1], []], [$cache->get('a'), $cache->getMany($keys)]);
    // Times to live.
    $brief = $store->cache('brief', ['ttl' => -1, 'near' => $near]);
    same('dead at once', [true, null], [$brief->set('k', 1), $brief->get('k')]);
    same('its own', [true, 1], [$brief->set('k', 1, 100), $brief->get('k')]);
    same('for ever', [true, 2], [$brief->set('k', 2, 0), $brief->get('k')]);
    same('null = the cache\'s', [true, null], [$brief->set('k', 3, null), $brief->get('k')]);
    foreach ([-1, PHP_INT_MIN] as $dead) {
        $cache->set('t', 1);
        same("ttl $dead", [true, null], [$cache->set('t', 2, $dead), $cache->get('t')]);
    }
    same('ttl most', [true, 1], [$cache->set('t', 1, ttl: PHP_INT_MAX), $cache->get('t')]);
    foreach ([0, null] as $ever) {
        $plain = $store->cache('plain', ['ttl' => $ever, 'near' => $near]);
        same('no ttl', [true, 1], [$plain->set('k', 1), $plain->get('k')]);
    }
    // Two caches, one name; another name.
    same('same name', 1, $store->cache('c', ['near' => $near])->get('t'));
    same('other name', null, $store->cache('d', ['near' => $near])->get('t'));
    same('sync', null, $store->sync());
    same('purge of all', [true, null, null], [$store->purge(), $cache->get('t'), $plain->get('k')]);
    $stats = $store->stats();
    foreach (['near_hits', 'hits', 'misses', 'sets', 'deletes', 'purges', 'dropped_fills', 'broken', 'resets', 'errors', 'round_trips',
        'near_entries', 'near_bytes', 'near_limit', 'graveyard_bytes'] as $name) {
        same($name, true, is_int($stats[$name]) && $stats[$name] >= 0);
    }
    same('broken', [0, 0], [$stats['broken'], $stats['errors']]);
    same('health', [true, '', true], [$store->health()['reachable'], $store->health()['reason'], $store->health()['facts'] !== []]);
}
// A hit in memory makes no round trip.
$cache = $store->cache('counted');
$cache->set('k', 1);
$before = $store->stats();
for ($i = 0; $i < 100; $i++) {
    $cache->get('k');
}
$after = $store->stats();
same('round trips', [$before['round_trips'], $before['near_hits'] + 100], [$after['round_trips'], $after['near_hits']]);
?>
--EXPECT--
near
get: [0,null,"default",1]
set: [true,[1,null],true,null,true]
has: [true,false,true,false,false,true,false,true]
delete: [true,false,false]
many: [5,{"x":1,"y":[2],"7":"seven","":"empty","08":8}]
deleteMany: [2,{"y":[2]},0]
nothing: [[],0]
keys: [["","08","a","n","y"],["08"],[],5,5]
purge: [true,[],false,true]
not near
get: [0,null,"default",1]
set: [true,[1,null],true,null,true]
has: [true,false,true,false,false,true,false,true]
delete: [true,false,false]
many: [5,{"x":1,"y":[2],"7":"seven","":"empty","08":8}]
deleteMany: [2,{"y":[2]},0]
nothing: [[],0]
keys: [["","08","a","n","y"],["08"],[],5,5]
purge: [true,[],false,true]
