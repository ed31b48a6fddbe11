--TEST--
Hits in memory: however get() is called, it answers and refuses as where nothing is kept in memory, and never later than max_staleness
--FILE--
<?php
require __DIR__ . '/store.inc';

final class Key {
    public function __toString(): string {
        return 'a';
    }
}
$values = ['a' => [1, ['two']], 'o' => (object)['p' => [1]], 'i' => 7, 'n' => null, 'f' => false, '5' => 'five', '' => 'empty'];
$ways = [
    'plain' => fn($cache, $key) => $cache->get($key),
    'default' => fn($cache, $key) => $cache->get($key, 'default'),
    'named' => fn($cache, $key) => $cache->get(default: 'default', key: $key),
    'spread' => fn($cache, $key) => $cache->get(...[$key, 'default']),
    'reference' => function ($cache, $key) {
        $reference = &$key;
        return $cache->get($reference);
    },
    'callable' => fn($cache, $key) => [$cache, 'get']($key),
    'closure' => fn($cache, $key) => $cache->get(...)($key),
    'call_user_func' => fn($cache, $key) => call_user_func([$cache, 'get'], $key),
    'array_map' => fn($cache, $key) => array_map($cache->get(...), [$key]),
    'reflection' => fn($cache, $key) => (new ReflectionMethod($cache, 'get'))->invoke($cache, $key),
    'none' => fn($cache, $key) => $cache->get(),
    'too many' => fn($cache, $key) => $cache->get($key, 1, 2),
    'wrong name' => fn($cache, $key) => $cache->get($key, fallback: 1),
    'unused' => function ($cache, $key) {
        $cache->get($key);
        return true;
    },
];
$keys = ['a', 'o', 'i', 'n', 'f', '5', 5, '', 'missing', null, 1.5, true, [], new Key(), 'a' . str_repeat('x', 70000)];

$caches = [];
foreach ([true, false] as $near) {
    $caches[] = $cache = local_store(['max_staleness' => 1000])->cache('c', ['near' => $near]);
    $cache->setMany($values);
}
[$near, $far] = $caches;
$calls = 0;
for ($round = 0; $round < 3; $round++) {
    foreach ($ways as $way => $call) {
        foreach ($keys as $number => $key) {
            same("$way $number", outcome(fn() => serialize($call($far, $key))), outcome(fn() => serialize($call($near, $key))));
            $calls++;
        }
    }
}
echo "$calls calls answered alike\n";

// Each hit is counted once, whichever way it took.
$store = local_store(['max_staleness' => 1000]);
$cache = $store->cache('c');
$cache->setMany($values);
foreach (['a', 'o', 'i', 5] as $key) {
    $before = $store->stats()['near_hits'];
    $cache->get($key);
    $cache->has($key);
    $cache->getMany([$key]);
    same("hits of $key", 3, $store->stats()['near_hits'] - $before);
}

// Objects are new ones at each get, at every depth, and share nothing that is written to.
$cache->set('deep', [[(object)['list' => [(object)['x' => 1], (object)['x' => 2]]], (object)['y' => [3]]]]);
$one = $cache->get('deep');
$copy = (array)$one[0][1];
$one[0][1]->y[] = 4;
$one[0][0]->list[1]->x++;
$copy['y'][] = 5;
unset($one[0][0]->list[0]);
same('deep', '[[{"list":[{"x":1},{"x":2}]},{"y":[3]}]]', json_encode($cache->get('deep')));
same('deep, changed', '[[{"list":{"1":{"x":3}}},{"y":[3,4]}]]', json_encode($one));

// A write of another store is seen once max_staleness is over, by hits, too.
$directory = fresh_directory();
foreach (['0' => 0, '0.005' => 5000, '0.03' => 30000] as $staleness => $micros) {
    $reader = Larder\Store::open(['server' => "local:$directory/store?size=64M", 'max_staleness' => (string)$staleness])->cache('c');
    $writer = Larder\Store::open(['server' => "local:$directory/store?size=64M", 'near_bytes' => '1M'])->cache('c');
    for ($i = 0; $i < 40; $i++) {
        $writer->set('k', $i);
        usleep($micros);
        same("staleness $staleness", $i, $reader->get('k'));
        same("staleness $staleness, from memory", $i, $reader->get('k'));
    }
}
echo "done\n";

// What a request was given stays as it was, whatever became of the key and of the memory behind it.
$kinds = ['array' => fn($n) => ['n' => $n, 'l' => ["text $n", [$n]]], 'object' => fn($n) => (object)['n' => $n, 'l' => ["text $n", [$n]]]];
foreach ($kinds as $kind => $make) {
    $held = [];
    foreach (range(0, 999) as $n) {
        $cache->set('k', $make($n));
        $held[] = $cache->get('k');
    }
    foreach (range(0, 999) as $n) {
        $cache->set("other $n", $make(-$n));
    }
    same("$kind held", serialize(array_map($make, range(0, 999))), serialize($held));
}
?>
--EXPECT--
630 calls answered alike
done
