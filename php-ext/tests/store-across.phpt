--TEST--
Values of several caches in one round trip, and the locks that are held
--FILE--
<?php
require __DIR__ . '/store.inc';
$store = local_store();
[$one, $two] = [$store->cache('one', ['near' => false]), $store->cache('two', ['near' => false])];
$one->setMany(['a' => [1, '2'], 'n' => null, 7 => (object)['x' => 1.5]]);
$two->set('a', 'two');
$store->cache('near')->set('a', 'kept in memory, and apart from an unlogged cache of that name');
$before = $store->stats()['round_trips'];
$found = $store->getMany(['one' => ['a', 'b', 'n', 7, 'a'], 'two' => ['a'], 'near' => ['a'], 'none' => []]);
same('values', ['one' => ['a' => [1, '2'], 'n' => null, 7 => $found['one'][7]], 'two' => ['a' => 'two'], 'near' => [], 'none' => []], $found);
same('object', 1.5, $found['one'][7]->x);
same('round trips', 1, $store->stats()['round_trips'] - $before);
same('nothing', [], $store->getMany([]));
show([
    'no keys' => fn() => $store->getMany(['one' => 'a']),
    'no key' => fn() => $store->getMany(['one' => [[]]]),
    'bad name' => fn() => $store->getMany(["\xff" => ['a']]),
]);

$one->acquireLock("k\xff", 'me', 0);
$store->cache('logged')->acquireLock('k', 'you', 0);
$locks = $store->locks();
usort($locks, fn($a, $b) => $a['cache'] <=> $b['cache']);
same('locks', [['logged', 'k', 'you', 0], ['one', "k\xff", 'me', 0]],
    array_map(fn($lock) => [$lock['cache'], $lock['key'], $lock['owner'], $lock['waiters']], $locks));
same('seconds', true, is_float($locks[0]['seconds']) && $locks[0]['seconds'] < 60);
$one->releaseLock("k\xff", 'me');
$store->cache('logged')->releaseLock('k', 'you');
same('no locks', [], $store->locks());
echo "done\n";
?>
--EXPECT--
no keys: Larder\ValueException: the keys of a cache must be an array
no key: Larder\ValueException: a key must be a string, not array
bad name: Larder\ValueException: a cache name must be UTF-8
done
