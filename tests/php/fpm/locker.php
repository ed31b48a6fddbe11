<?php
// One request that gets the lock on a key, stores a value under it and gives it back, or asks who serves. It waits for half a lease at
// the most. With "hold" it keeps the lock until the file of that name is gone.

$work = json_decode(file_get_contents('php://input'), true);
$store = Larder\Store::open($work['config']);
if (isset($work['tier'])) {
    $health = $store->health();
    echo json_encode(['tier' => $health['tier'] ?? ($health['reachable'] ? 'primary' : 'none')]);
    return;
}
$cache = $store->cache('locked');
$got = $cache->acquireLock($work['key'], 'page', 5);
if (isset($work['hold'])) {
    for (touch("$work[hold].held"); file_exists($work['hold']); clearstatcache()) {
        usleep(1000);
    }
}
$stored = $cache->set($work['key'], getmypid());
echo json_encode(['got' => $got, 'stored' => $stored, 'returned' => $cache->releaseLock($work['key'], 'page'), 'held' => isset($work['hold'])]);
