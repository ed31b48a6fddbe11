--TEST--
Large values: kept decoded up to half of near_bytes, beyond that as payloads, and memory stays within its bound
--FILE--
<?php
require __DIR__ . '/store.inc';

/** So many records, as objects or arrays. */
function records(int $count, bool $objects): array {
    $record = fn(int $i) => ['id' => $i, 'name' => "Activity number $i of this course", 'visible' => '1', 'modname' => 'assign', 'section' => null];
    return array_map(fn($i) => $objects ? (object)$record($i) : $record($i), range(1, $count));
}

$store = local_store(['near_bytes' => '1M', 'max_staleness' => 1000]);
$cache = $store->cache('c');
foreach ([1000, 5000, 50000] as $count) {
    foreach ([false, true] as $objects) {
        $value = records($count, $objects);
        $cache->set('k', $value);
        $before = $store->stats();
        $equal = $cache->get('k') == $value && $cache->get('k') == $value;
        $after = $store->stats();
        $share = $after['near_bytes'] / $after['near_limit'];
        printf(
            "%d %s: %s, %d from memory, %d from the backend, kept %s\n",
            $count,
            $objects ? 'objects' : 'arrays',
            $equal ? 'equal' : 'NOT EQUAL',
            $after['near_hits'] - $before['near_hits'],
            $after['hits'] - $before['hits'],
            match (true) {
                $share > 1 => 'BEYOND THE BOUND',
                $share > 1 / 4 => 'decoded',
                $share > 1 / 16 => 'as a payload',
                default => 'not at all',
            },
        );
    }
}
// Memory keeps nothing of an unlogged cache, whatever its size.
$unlogged = $store->cache('unlogged', ['near' => false]);
foreach ([1, 1000, 50000] as $count) {
    foreach ([false, true] as $objects) {
        $value = records($count, $objects);
        $unlogged->set('k', $value);
        $before = $store->stats();
        same("unlogged $count", [true, true], [$unlogged->get('k') == $value, $unlogged->has('k')]);
        same("unlogged $count in memory", $before['near_bytes'], $store->stats()['near_bytes']);
    }
}
?>
--EXPECT--
1000 arrays: equal, 2 from memory, 0 from the backend, kept decoded
1000 objects: equal, 2 from memory, 0 from the backend, kept decoded
5000 arrays: equal, 2 from memory, 0 from the backend, kept as a payload
5000 objects: equal, 2 from memory, 0 from the backend, kept as a payload
50000 arrays: equal, 0 from memory, 2 from the backend, kept not at all
50000 objects: equal, 0 from memory, 2 from the backend, kept not at all
